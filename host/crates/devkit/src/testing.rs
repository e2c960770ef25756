//! Modules and components without a toolchain.

use crate::wrap::contract;
use std::path::Path;
use torana_extend::PluginKind;
use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A core module that exports what a world asks for and imports all that it offers; `described` is a middleware that
/// describes itself.
pub(crate) fn module(world: &str, typed: bool) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut package = contract(&mut resolve, Path::new("/nowhere")).unwrap();
    if world == "described" {
        let text = "package t:t; world described { include torana:plugin/middleware@0.1.0; export torana:plugin/description@0.1.0; }";
        package = resolve.push_str("t.wit", text).unwrap();
    }
    let id = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, id, ManglingAndAbi::Standard32);
    if typed {
        embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8).unwrap();
    }
    module
}

pub(crate) fn component(world: &str) -> Vec<u8> {
    crate::wrap::wrap(&module(world, true), true, PluginKind::Middleware, Path::new("/nowhere")).unwrap()
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}
