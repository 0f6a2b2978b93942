package main

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// lfs is a store for large files of git: the batch API with the basic transfer
// (git-lfs's documentation of its API), at /git/NAME.git/info/lfs/objects/batch.
type lfs struct {
	mu      sync.Mutex
	objects map[string][]byte
}

type lfsObject struct {
	OID     string               `json:"oid"`
	Size    int64                `json:"size"`
	Actions map[string]lfsAction `json:"actions,omitempty"`
}

type lfsAction struct {
	Href string `json:"href"`
}

func (s *lfs) batch(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Operation string      `json:"operation"`
		Objects   []lfsObject `json:"objects"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for i, o := range request.Objects {
		request.Objects[i].Actions = map[string]lfsAction{request.Operation: {Href: "https://" + host + "/lfs/" + o.OID}}
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": request.Objects})
}

func (s *lfs) object(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oid := r.PathValue("oid")
	switch r.Method {
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.objects[oid] = data
	default:
		w.Write(s.objects[oid])
	}
}
