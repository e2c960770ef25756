module example.com/plugin

go 1.24

// The little that the generated bindings need; see internal/pkg.
require go.bytecodealliance.org/pkg v0.0.0

replace go.bytecodealliance.org/pkg => ./internal/pkg
