// Package export_torana_plugin_middleware_hooks is where the generated exports look for the hooks. The package torana sets them.
package export_torana_plugin_middleware_hooks

import (
	hooks "example.com/plugin/internal/wit/imports/torana_plugin_middleware_hooks"
	"example.com/plugin/internal/wit/imports/torana_plugin_types"
	"go.bytecodealliance.org/pkg/wit/types"
)

var (
	Configure      func(config string) types.Result[hooks.Interest, torana_plugin_types.ConfigError]
	OnRequest      func(values []types.Option[string]) hooks.RequestAction
	OnResponse     func(values []types.Option[string], state types.Option[string]) hooks.ResponseAction
	OnRequestBody  func(chunk []uint8, last bool) hooks.ChunkAction
	OnResponseBody func(chunk []uint8, last bool) hooks.ChunkAction
)
