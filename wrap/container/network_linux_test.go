package container

import (
	"net"
	"path/filepath"
	"testing"
)

func TestHasOurNetwork(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	if same, known := hasOurNetwork(socket); same || known {
		t.Errorf("of nothing: %v, %v", same, known)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if same, known := hasOurNetwork(socket); !same || !known {
		t.Errorf("of this process: %v, %v", same, known)
	}
}
