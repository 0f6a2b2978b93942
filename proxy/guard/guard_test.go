package guard

import (
	"strings"
	"testing"
)

func TestPanicIsCaughtAndDescribed(t *testing.T) {
	var list []int
	fault := Do("counting", func() { _ = list[3] })
	if fault == nil {
		t.Fatal("no fault")
	}
	if text := fault.Error(); !strings.HasPrefix(text, "counting failed: ") || !strings.Contains(text, "index out of range [3]") {
		t.Errorf("the fault reads %q", text)
	}
	if !strings.Contains(string(fault.Stack), "TestPanicIsCaughtAndDescribed") {
		t.Errorf("the stack does not say where it happened:\n%s", fault.Stack)
	}
}

func TestWithoutPanic(t *testing.T) {
	ran := false
	if fault := Do("counting", func() { ran = true }); fault != nil || !ran {
		t.Errorf("ran %v, fault %v", ran, fault)
	}
}
