use crate::install::GatewayNameConfig;
use crate::install::effective::Validate;
use torana_base::Diagnostic;

impl Validate<'_> {
    pub(in crate::install) fn knative(&mut self) {
        let Some(knative) = &self.config.providers.knative else { return };
        if !self.config.experimental.knative {
            let d = Diagnostic::error("providers.knative", "the provider is experimental and has to be allowed");
            self.push(d, "write `experimental: {knative: true}`");
        }
        for (option, service) in [("publicService", &knative.public_service), ("privateService", &knative.private_service)] {
            let half = |s: &GatewayNameConfig| s.name.is_empty() != s.namespace.is_empty();
            if service.as_ref().is_some_and(half) {
                let d = Diagnostic::warning(format!("providers.knative.{option}"), "no status names it: it needs a name and a namespace");
                self.push(d, "write both `name` and `namespace`");
            }
        }
    }
}
