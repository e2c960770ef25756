// {{name}}: a middleware. Answers 403 to a path, and stamps what passes.
package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"example.com/plugin/torana"
)

type plugin struct {
	Blocked string `json:"blocked"`
	Header  string `json:"header"`
}

// Each instance runs it once.
func init() {
	torana.Use(&plugin{Header: "x-{{name}}"})
}

// Once for each instance. config was found to fit schema.json.
func (p *plugin) Configure(config []byte) (torana.Interest, error) {
	if err := json.Unmarshal(config, p); err != nil {
		return torana.Interest{}, err
	}
	if p.Blocked != "" && !strings.HasPrefix(p.Blocked, "/") {
		return torana.Interest{}, &torana.ConfigError{Key: "blocked", Message: "a path begins with a slash", Hint: "/" + p.Blocked}
	}
	// What the hooks below read of every exchange.
	return torana.Interest{Request: []string{":path"}, Response: []string{":status"}}, nil
}

// To answer here, return an answer; to let the request go on, return nil.
func (p *plugin) OnRequest(r *torana.Request) *torana.Answer {
	if p.Blocked != "" && strings.HasPrefix(r.Path(), p.Blocked) {
		torana.Log(torana.Info, "blocked "+r.Path())
		return torana.Respond(403, "blocked\n")
	}
	r.SetHeader(p.Header, "request")
	return nil
}

func (p *plugin) OnResponse(r *torana.Response) *torana.Answer {
	r.SetHeader(p.Header, strconv.Itoa(r.Status()))
	return nil
}

func main() {}
