use crate::omit;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::Step;

/// Middlewares that a chain may come to.
const MOST_STEPS: usize = 1024;

/// Several middlewares under one name.
pub struct Chain;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Middlewares in the order in which they see a request; of this one's provider where a name says none.
    #[serde(skip_serializing_if = "omit::empty")]
    pub middlewares: Vec<String>,
}

impl MiddlewareSpec for Chain {
    const NAME: &'static str = "chain";
    const EXAMPLE: &'static str = "middlewares:\n  - auth\n  - limit@file\n";
    /// What it is made of may belong to one router.
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let mut steps = Vec::new();
        for (i, name) in config.middlewares.iter().enumerate() {
            let part = cx.middleware(name.trim()).map_err(|e| BuildError { key: format!("middlewares[{i}]"), ..e })?;
            // Chains of chains double with each level.
            if steps.len() + part.len() > MOST_STEPS {
                return Err(BuildError::new(format!("middlewares[{i}]"), format!("the chain comes to more than {MOST_STEPS} middlewares")));
            }
            steps.extend(part);
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, build_error};

    #[test]
    fn is_flat_and_keeps_the_order() {
        // The test context gives a name made of digits that many steps.
        assert_eq!(build::<Chain>("middlewares: ['2', ' 3 ']").len(), 5);
        assert!(build::<Chain>("middlewares: []").is_empty());
        assert_eq!(build_error::<Chain>("middlewares: ['1', nothere]").key, "middlewares[1]");
        assert_eq!(build_error::<Chain>("middlewares: ['1000', '25']").key, "middlewares[1]");
    }
}
