// ab-cookie: a middleware for experiments. A client is in group a or b; the server sees which, and a cookie keeps it there.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"example.com/plugin/torana"
)

type plugin struct {
	Cookie string `json:"cookie"`
	Header string `json:"header"`
	// Percent of the new clients that come into group b.
	Share  *float64 `json:"share"`
	MaxAge int      `json:"maxAge"`
}

func init() {
	torana.Use(&plugin{Cookie: "group", Header: "x-group", MaxAge: 30 * 24 * 3600})
}

func (p *plugin) Configure(config []byte) (torana.Interest, error) {
	if err := json.Unmarshal(config, p); err != nil {
		return torana.Interest{}, err
	}
	if p.Share == nil {
		return torana.Interest{}, &torana.ConfigError{Key: "share", Message: "is missing", Hint: "share: 50"}
	}
	return torana.Interest{Request: []string{"cookie"}}, nil
}

func (p *plugin) OnRequest(r *torana.Request) *torana.Answer {
	group, known := p.group(r.Header("cookie"))
	if !known {
		group = "a"
		if rand.Float64()*100 < *p.Share {
			group = "b"
		}
		torana.Add("clients_"+group, 1)
		r.State = group
	}
	r.SetHeader(p.Header, group)
	return nil
}

// State is only there for a client that has no cookie yet.
func (p *plugin) OnResponse(r *torana.Response) *torana.Answer {
	if r.State != "" {
		r.AddHeader("set-cookie", fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax", p.Cookie, r.State, p.MaxAge))
	}
	return nil
}

func (p *plugin) group(cookies string) (string, bool) {
	for _, cookie := range strings.Split(cookies, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(cookie), "=")
		if name == p.Cookie && (value == "a" || value == "b") {
			return value, true
		}
	}
	return "", false
}

func main() {}
