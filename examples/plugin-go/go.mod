module example.com/ab-cookie

go 1.24

// The layer below the plugin is that of the template, which `torana plugin new --lang go` copies into a project.
require example.com/plugin v0.0.0

require go.bytecodealliance.org/pkg v0.0.0 // indirect

replace (
	example.com/plugin => ../../plugin-sdk/templates/go/middleware
	go.bytecodealliance.org/pkg => ../../plugin-sdk/templates/go/middleware/internal/pkg
)
