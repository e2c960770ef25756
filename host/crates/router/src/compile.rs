use crate::matcher::{Extra, HostKey, MATCHERS, Matcher, MatcherKind, Need, NoExtra, PathKey};
use crate::request::RequestView;
use crate::rule::{Rule, RuleError};

/// A rule ready to be asked. Holds what the index needs to know beside the tests themselves.
pub struct CompiledRule {
    expr: Expr<Matcher>,
    hosts: Option<Box<[HostKey]>>,
    paths: Option<Box<[PathKey]>>,
    host_values: Box<[Box<str>]>,
}

pub(crate) enum Expr<M> {
    All(Box<[Expr<M>]>),
    Any(Box<[Expr<M>]>),
    Is(M),
    IsNot(M),
}

/// Builds the matchers of a rule in v3 syntax. The error points at the matcher whose arguments are wrong.
pub fn compile(rule: &Rule) -> Result<CompiledRule, RuleError> {
    compile_in(MATCHERS, rule, &NoExtra)
}

/// The same, with the matchers of a table, and others beside them.
pub(crate) fn compile_in(table: &[MatcherKind], rule: &Rule, extra: &dyn Extra) -> Result<CompiledRule, RuleError> {
    let mut host_values: Vec<Box<str>> = Vec::new();
    let (expr, needs) = build(rule, &mut |name, args, at, negated| {
        let mut m = one(table, name, args, at, extra)?;
        if name == "Host" && !negated {
            host_values.extend(args.iter().map(|a| a.to_ascii_lowercase().into_boxed_str()));
        }
        let need = std::mem::replace(&mut m.need, Need::Anything);
        Ok((m, need))
    })?;
    Ok(CompiledRule {
        expr,
        hosts: needs.hosts.map(Vec::into_boxed_slice),
        paths: needs.paths.map(Vec::into_boxed_slice),
        host_values: host_values.into(),
    })
}

impl CompiledRule {
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        self.expr.eval(&|m: &Matcher| (m.test)(request))
    }

    /// The hosts of which the request's must be one for the rule to have a chance; `None` when any host
    /// has, and empty when the rule never matches. Sound, not exact.
    pub fn hosts(&self) -> Option<&[HostKey]> {
        self.hosts.as_deref()
    }

    /// The same for paths.
    pub fn paths(&self) -> Option<&[PathKey]> {
        self.paths.as_deref()
    }

    /// The arguments of all `Host` matchers that are not negated, lower case, in the order written: the
    /// domains that a certificate is asked for.
    pub fn host_values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.host_values.iter().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for CompiledRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledRule").field("hosts", &self.hosts).field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<M> Expr<M> {
    pub(crate) fn eval(&self, test: &impl Fn(&M) -> bool) -> bool {
        match self {
            Expr::All(list) => list.iter().all(|e| e.eval(test)),
            Expr::Any(list) => list.iter().any(|e| e.eval(test)),
            Expr::Is(m) => test(m),
            Expr::IsNot(m) => !test(m),
        }
    }
}

/// Necessary conditions, one set per dimension; `None` is "anything".
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) hosts: Option<Vec<HostKey>>,
    paths: Option<Vec<PathKey>>,
}

impl Needs {
    fn of(need: Need) -> Self {
        match need {
            Need::Anything => Needs::default(),
            Need::Hosts(hosts) => Needs { hosts: Some(hosts), paths: None },
            Need::Paths(paths) => Needs { hosts: None, paths: Some(paths) },
            Need::Never => Needs { hosts: Some(Vec::new()), paths: Some(Vec::new()) },
        }
    }

    /// Both must hold, so either set will do: the one that lets less through.
    fn and(self, other: Needs) -> Needs {
        fn tighter<T>(a: Option<Vec<T>>, b: Option<Vec<T>>, breadth: fn(&T) -> usize) -> Option<Vec<T>> {
            let size = |list: &Vec<T>| (list.len(), list.iter().map(breadth).max());
            match (a, b) {
                (Some(a), Some(b)) => Some(if size(&b) < size(&a) { b } else { a }),
                (a, b) => a.or(b),
            }
        }
        let host = |h: &HostKey| usize::from(matches!(h, HostKey::Wildcard(_)));
        let path = |p: &PathKey| match p {
            PathKey::Exact(_) => 0,
            PathKey::Prefix(p) => usize::MAX - p.len(),
        };
        Needs { hosts: tighter(self.hosts, other.hosts, host), paths: tighter(self.paths, other.paths, path) }
    }

    fn or(self, other: Needs) -> Needs {
        fn union<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
            let (mut a, b) = a.zip(b)?;
            a.extend(b);
            Some(a)
        }
        Needs { hosts: union(self.hosts, other.hosts), paths: union(self.paths, other.paths) }
    }

    fn distinct(mut self) -> Self {
        fn distinct<T: Ord>(list: &mut Option<Vec<T>>) {
            if let Some(list) = list {
                list.sort_unstable();
                list.dedup();
            }
        }
        distinct(&mut self.hosts);
        distinct(&mut self.paths);
        self
    }
}

/// Makes a matcher of its name, its arguments, its place, and whether it stands behind a `!`.
type Make<'m, M> = &'m mut dyn FnMut(&str, &[String], usize, bool) -> Result<(M, Need), RuleError>;

pub(crate) fn build<M>(rule: &Rule, make: Make<'_, M>) -> Result<(Expr<M>, Needs), RuleError> {
    let mut all = |list: &[Rule], join: fn(Needs, Needs) -> Needs, first: Needs| {
        let mut exprs = Vec::with_capacity(list.len());
        let mut needs = first;
        for r in list {
            let (e, n) = build(r, make)?;
            exprs.push(e);
            needs = join(needs, n);
        }
        Ok((exprs.into_boxed_slice(), needs.distinct()))
    };
    match rule {
        Rule::And(list) => all(list, Needs::and, Needs::default()).map(|(e, n)| (Expr::All(e), n)),
        Rule::Or(list) => all(list, Needs::or, Needs::of(Need::Never)).map(|(e, n)| (Expr::Any(e), n)),
        Rule::Not(inner) => match &**inner {
            Rule::Matcher { name, args, at } => Ok((Expr::IsNot(make(name, args, at.0, true)?.0), Needs::default())),
            other => build(&other.clone().negate(), make),
        },
        Rule::Matcher { name, args, at } => {
            let (m, need) = make(name, args, at.0, false)?;
            Ok((Expr::Is(m), Needs::of(need)))
        }
    }
}

fn one(table: &[MatcherKind], name: &str, args: &[String], at: usize, extra: &dyn Extra) -> Result<Matcher, RuleError> {
    if args.iter().any(String::is_empty) {
        return Err(RuleError::new(at, format!("an argument of {name} is empty")));
    }
    let built = match table.iter().find(|k| k.name == name) {
        Some(kind) => {
            kind.check_arity(args.len(), at)?;
            (kind.build)(args)
        }
        None if extra.names().iter().any(|n| n == name) => extra.build(name, args),
        None => return Err(RuleError::new(at, format!("unknown matcher `{name}`"))),
    };
    built.map_err(|why| RuleError::new(at, format!("{name}: {why}")))
}
