//! Instances of a plugin with one configuration: kept apart by thread, called with a deadline, thrown away
//! after a trap.

use crate::abi::v0_1::torana::plugin::types::ConfigError;
use crate::code::Instance;
use crate::component::export;
use crate::load::Loaded;
use crate::passing::{Names, one_line};
use crate::rest::Rest;
use crate::state::{Environment, State, log_line};
use crate::stats::{Hook, Outcome, slot};
use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{Result, Store, Trap, UpdateDeadline};

/// An instance is replaced after that many calls: heaps of some languages only grow.
const MAX_CALLS: u32 = 1 << 20;

/// The hooks of one kind of plugin.
pub(crate) trait Hooks: Sized + Send + 'static {
    /// What `configure` gave.
    type Setup: Send + Sync + 'static;

    fn bind(loaded: &Loaded, store: &mut Store<State>, instance: &Instance) -> Result<Self>;

    /// Calls `configure`; the outer error is a trap.
    fn configure(&self, call: &mut Call<'_>) -> impl Future<Output = Result<std::result::Result<Self::Setup, ConfigError>>> + Send;
}

/// How to call a function: directly, or on a stack of its own.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a mut Store<State>,
    pub(crate) waits: bool,
}

impl Call<'_> {
    pub(crate) async fn run<P, R>(&mut self, func: &TypedFunc<P, R>, params: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + 'static,
        R: ComponentNamedList + Lift + Send + 'static,
    {
        if self.waits { func.call_async(&mut *self.store, params).await } else { func.call(&mut *self.store, params) }
    }

    pub(crate) fn environment(&self) -> Arc<Environment> {
        self.store.data().environment.clone()
    }
}

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Trapped(String),
    /// `limits.deadline` of its own time is used up.
    Deadline(Duration),
    /// `limits.timeout` has passed.
    Timeout(Duration),
    /// What it handed back cannot be used.
    Output(String),
    /// The client is to blame: what it sends broke off, or is too long.
    Client(String),
    Busy,
    Resting,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Trapped(e) => write!(f, "the plugin trapped: {e}"),
            Failure::Deadline(d) => write!(f, "the plugin ran longer than limits.deadline, {d:?}"),
            Failure::Timeout(d) => write!(f, "the plugin took longer than limits.timeout, {d:?}"),
            Failure::Output(e) => write!(f, "the plugin's answer is not usable: {e}"),
            Failure::Client(e) => f.write_str(e),
            Failure::Busy => f.write_str("all instances of the plugin are busy (limits.instances)"),
            Failure::Resting => f.write_str("the plugin rests after repeated failures"),
        }
    }
}

impl Failure {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Failure::Deadline(_) | Failure::Timeout(_) => Outcome::Deadline,
            _ => Outcome::Trap,
        }
    }
}

/// Why there is no pool.
pub(crate) enum OpenError {
    /// The plugin refuses its configuration.
    Config(ConfigError),
    /// It cannot be instantiated, or fails while it is configured.
    Broken(String),
}

/// A configuration; for a matcher with the arguments of its use in a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Use {
    /// JSON.
    pub(crate) config: String,
    pub(crate) args: Vec<String>,
}

impl Default for Use {
    fn default() -> Self {
        Use { config: "{}".to_owned(), args: Vec::new() }
    }
}

/// A pool of any kind.
pub(crate) trait AnyPool: Send + Sync {
    fn used(&self) -> &Use;

    /// The same for another version of the plugin.
    fn reopen(self: Arc<Self>, loaded: &Arc<Loaded>) -> std::result::Result<Arc<dyn AnyPool>, OpenError>;

    /// Lets go of instances that were not needed since the last time, all but one a thread.
    fn trim(&self);

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<H: Hooks> AnyPool for Pool<H> {
    fn used(&self) -> &Use {
        &self.used
    }

    fn reopen(self: Arc<Self>, loaded: &Arc<Loaded>) -> std::result::Result<Arc<dyn AnyPool>, OpenError> {
        if let Some(schema) = &loaded.schema {
            let config = serde_json::from_str(&self.used.config).unwrap_or_default();
            schema.fits(&config).map_err(OpenError::Broken)?;
        }
        Ok(Pool::<H>::open(loaded, self.used.clone(), Some(Arc::downgrade(&self)))?)
    }

    fn trim(&self) {
        Pool::trim(self);
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

type Snapshot = TypedFunc<(), (Vec<u8>,)>;
type Restore = TypedFunc<(Vec<u8>,), (std::result::Result<(), String>,)>;

/// An instance.
pub(crate) struct Live<H> {
    pub(crate) store: Store<State>,
    pub(crate) hooks: H,
    pub(crate) names: Names,
    state: Option<(Snapshot, Restore)>,
    calls: u32,
    /// As counted in the statistics.
    memory: usize,
    loaded: Arc<Loaded>,
}

impl<H> Drop for Live<H> {
    fn drop(&mut self) {
        self.loaded.stats.instances(-1);
        self.loaded.stats.memory(-(self.memory as i64));
    }
}

struct Slot<H> {
    idle: Mutex<Vec<Box<Live<H>>>>,
    /// Idle ones and those in use.
    live: AtomicUsize,
    /// Fewest idle ones since the last trim.
    low: AtomicUsize,
    freed: Notify,
}

impl<H> Slot<H> {
    fn idle(&self) -> MutexGuard<'_, Vec<Box<Live<H>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Pool<H: Hooks> {
    pub(crate) loaded: Arc<Loaded>,
    used: Use,
    pub(crate) environment: Arc<Environment>,
    pub(crate) setup: H::Setup,
    slots: Box<[Slot<H>]>,
    rest: Rest,
    /// The pool of the version before, for the state that goes over.
    before: Option<Weak<Pool<H>>>,
}

fn ticks(d: Duration) -> u64 {
    (d.as_millis() as u64 / crate::engine::TICK.as_millis() as u64).max(1) + 1
}

/// Runs a future on a thread that may block.
pub(crate) fn block_on<F: Future>(future: F) -> std::result::Result<F::Output, String> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(r) => Ok(r.block_on(future)),
        Err(e) => Err(format!("the gateway cannot wait for it: {e}")),
    }
}

pub(crate) fn store(loaded: &Loaded, environment: &Arc<Environment>) -> Store<State> {
    let mut store = Store::new(loaded.code.engine(), State::new(environment.clone()));
    store.limiter(|s| &mut s.memory);
    // Time spent waiting for others is not the plugin's own.
    store.epoch_deadline_callback(|mut s| {
        let waited = std::mem::take(&mut s.data_mut().waited);
        if waited.is_zero() { Ok(UpdateDeadline::Interrupt) } else { Ok(UpdateDeadline::Continue(ticks(waited))) }
    });
    store
}

async fn instantiate(loaded: &Loaded, store: &mut Store<State>) -> Result<Instance> {
    if loaded.waits { loaded.code.instantiate_async(store).await } else { loaded.code.instantiate(store) }
}

pub(crate) fn broken(e: &wasmtime::Error, state: &State) -> Failure {
    let limits = &state.environment.limits;
    match e.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline(limits.deadline),
        _ if state.memory.refused => Failure::Trapped(format!("out of memory: limits.memory is {} MiB", limits.memory >> 20)),
        Some(trap) => Failure::Trapped(trap.to_string()),
        None => Failure::Trapped(e.root_cause().to_string().replace('\n', " ")),
    }
}

/// What a component without embedded manifest says of itself.
pub(crate) async fn describe(loaded: &Loaded) -> std::result::Result<String, String> {
    let environment = Arc::new(loaded.environment(Use::default()));
    let mut store = store(loaded, &environment);
    store.set_epoch_deadline(ticks(environment.limits.start));
    let _held = environment.ticker.hold();
    let all = async {
        let instance = instantiate(loaded, &mut store).await?;
        let func: TypedFunc<(), (String,)> = export(loaded, &mut store, &instance, "description", "describe")?;
        Call { store: &mut store, waits: loaded.waits }.run(&func, ()).await
    };
    all.await.map(|(text,)| text).map_err(|e| one_line(&e))
}

impl<H: Hooks> Pool<H> {
    /// Makes the first instance; for threads that may block.
    pub(crate) fn open(loaded: &Arc<Loaded>, used: Use, before: Option<Weak<Pool<H>>>) -> std::result::Result<Arc<Pool<H>>, OpenError> {
        let environment = Arc::new(loaded.environment(used.clone()));
        let (first, setup) = block_on(new_instance::<H>(loaded, &environment)).map_err(OpenError::Broken)??;
        let slots = (0..loaded.loader.slots)
            .map(|_| Slot { idle: Mutex::default(), live: AtomicUsize::new(0), low: AtomicUsize::new(0), freed: Notify::new() })
            .collect::<Box<[_]>>();
        let pool = Pool { loaded: loaded.clone(), used, environment, setup, slots, rest: Rest::new(), before };
        // What goes over from the version before is asked for in the thread that had it.
        if pool.before.is_none()
            && let Some(slot) = pool.slots.first()
        {
            slot.live.fetch_add(1, Relaxed);
            slot.idle().push(Box::new(first));
        }
        Ok(Arc::new(pool))
    }

    /// An instance for a call that does not wait.
    pub(crate) fn checkout_now(&self) -> std::result::Result<Lease<'_, H>, Failure> {
        self.rested()?;
        let slot = &self.slots[slot(self.slots.len())];
        match self.take(slot) {
            Some(live) => Ok(live),
            None if slot.live.load(Relaxed) < self.environment.limits.instances => {
                futures_util::FutureExt::now_or_never(self.add(slot)).unwrap_or(Err(Failure::Busy))
            }
            None => Err(self.refuse(Failure::Busy)),
        }
    }

    /// An instance; waits for one, at most for `limits.timeout`.
    pub(crate) async fn checkout(&self) -> std::result::Result<Lease<'_, H>, Failure> {
        self.rested()?;
        let slot = &self.slots[slot(self.slots.len())];
        let limits = &self.environment.limits;
        let give_up = Instant::now() + limits.timeout;
        loop {
            if let Some(live) = self.take(slot) {
                return Ok(live);
            }
            if slot.live.load(Relaxed) < limits.instances {
                return self.add(slot).await;
            }
            let freed = slot.freed.notified();
            if tokio::time::timeout_at(give_up.into(), freed).await.is_err() {
                return Err(self.refuse(Failure::Busy));
            }
        }
    }

    fn take<'a>(&'a self, slot: &'a Slot<H>) -> Option<Lease<'a, H>> {
        let mut idle = slot.idle();
        let live = idle.pop()?;
        slot.low.fetch_min(idle.len(), Relaxed);
        drop(idle);
        Some(Lease { pool: self, slot, live: Some(live) })
    }

    async fn add<'a>(&'a self, slot: &'a Slot<H>) -> std::result::Result<Lease<'a, H>, Failure> {
        slot.live.fetch_add(1, Relaxed);
        // Counted down again by the lease, whatever happens.
        let mut lease = Lease { pool: self, slot, live: None };
        match new_instance::<H>(&self.loaded, &self.environment).await {
            Ok((mut live, _)) => {
                self.hand_over(slot, &mut live).await;
                lease.live = Some(Box::new(live));
                Ok(lease)
            }
            Err(e) => {
                let text = match e {
                    OpenError::Config(e) => format!("it refuses the configuration that it took before: {}", e.message),
                    OpenError::Broken(e) => e,
                };
                let failure = Failure::Trapped(text);
                self.failed(Hook::Start, &failure, Duration::ZERO);
                Err(failure)
            }
        }
    }

    /// State of an instance of the version before, in the same thread.
    async fn hand_over(&self, to: &Slot<H>, live: &mut Live<H>) {
        let Some(before) = self.before.as_ref().and_then(Weak::upgrade) else { return };
        let Some((_, restore)) = &live.state else { return };
        let restore = *restore;
        let Some(index) = self.slots.iter().position(|s| std::ptr::eq(s, to)) else { return };
        let Some(old) = before.slots.get(index) else { return };
        let popped = old.idle().pop();
        let Some(mut former) = popped else { return };
        old.live.fetch_sub(1, Relaxed);
        let Some((snapshot, _)) = former.state else { return };
        let ticks = ticks(self.environment.limits.start);
        let _held = self.environment.ticker.hold();
        former.store.set_epoch_deadline(ticks);
        let waits = before.loaded.waits;
        let plugin = &self.loaded.plugin;
        match (Call { store: &mut former.store, waits }).run(&snapshot, ()).await {
            Ok((bytes,)) => {
                live.store.set_epoch_deadline(ticks);
                match (Call { store: &mut live.store, waits: self.loaded.waits }).run(&restore, (bytes,)).await {
                    Ok((Ok(()),)) => {}
                    Ok((Err(e),)) => {
                        tracing::warn!(target: "plugin", plugin = &**plugin, error = e, "the new version does not take the state over")
                    }
                    Err(e) => {
                        tracing::warn!(target: "plugin", plugin = &**plugin, error = one_line(&e), "the new version trapped on the state it was handed")
                    }
                }
            }
            Err(e) => {
                tracing::warn!(target: "plugin", plugin = &**plugin, error = one_line(&e), "the old version trapped when asked for its state")
            }
        }
    }

    fn rested(&self) -> std::result::Result<(), Failure> {
        if self.rest.rests() {
            return Err(self.refuse(Failure::Resting));
        }
        Ok(())
    }

    fn refuse(&self, failure: Failure) -> Failure {
        self.loaded.stats.refused();
        failure
    }

    fn failed(&self, hook: Hook, failure: &Failure, took: Duration) {
        if let Failure::Client(why) = failure {
            // Else some clients could put a plugin to rest for all of them.
            tracing::debug!(target: "plugin", plugin = &*self.loaded.plugin, "{why}");
            return self.loaded.stats.call(hook, took, Outcome::Good);
        }
        self.loaded.stats.call(hook, took, failure.outcome());
        self.rest.failed(&self.loaded.plugin, failure);
    }

    /// Counts a call that went well.
    pub(crate) fn count(&self, hook: Hook, took: Duration, outcome: Outcome) {
        self.succeeded(hook, took, outcome);
    }

    fn succeeded(&self, hook: Hook, took: Duration, outcome: Outcome) {
        self.loaded.stats.call(hook, took, outcome);
        self.rest.succeeded();
    }

    /// Calls a function that does not wait.
    pub(crate) fn call_now<P, R>(
        &self,
        live: &mut Live<H>,
        func: impl FnOnce(&H) -> TypedFunc<P, R>,
        params: P,
    ) -> std::result::Result<R, Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let deadline = self.environment.limits.deadline;
        self.environment.ticker.wake();
        live.store.set_epoch_deadline(ticks(deadline));
        live.store.data_mut().begin();
        let func = func(&live.hooks);
        func.call(&mut live.store, params).map_err(|e| broken(&e, live.store.data()))
    }

    /// Calls a function that may wait.
    pub(crate) async fn call<P, R>(
        &self,
        live: &mut Live<H>,
        func: impl FnOnce(&H) -> TypedFunc<P, R>,
        params: P,
    ) -> std::result::Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + 'static,
        R: ComponentNamedList + Lift + Send + 'static,
    {
        if !self.loaded.waits {
            return self.call_now(live, func, params);
        }
        let limits = self.environment.limits;
        let _held = self.environment.ticker.hold();
        live.store.set_epoch_deadline(ticks(limits.deadline));
        live.store.data_mut().begin();
        let func = func(&live.hooks);
        match tokio::time::timeout(limits.timeout, func.call_async(&mut live.store, params)).await {
            Ok(Ok(r)) => Ok(r),
            Ok(Err(e)) => Err(broken(&e, live.store.data())),
            Err(_) => Err(Failure::Timeout(limits.timeout)),
        }
    }

    /// Whether the instance is kept; otherwise it has served its time.
    fn put_back(&self, slot: &Slot<H>, mut live: Box<Live<H>>) -> bool {
        let state = live.store.data();
        let dropped = state.dropped_lines();
        if dropped > 0 {
            log_line(&self.loaded.plugin, tracing::Level::WARN, &format!("{dropped} more lines of one call were dropped"));
        }
        let used = state.memory.used;
        if used != live.memory {
            self.loaded.stats.memory(used as i64 - live.memory as i64);
            live.memory = used;
        }
        live.calls += 1;
        let kept = live.calls < MAX_CALLS && used < self.environment.limits.memory / 4 * 3;
        if kept {
            slot.idle().push(live);
            slot.freed.notify_one();
        }
        kept
    }

    /// Lets go of instances that were not needed since the last time, all but one a thread.
    pub(crate) fn trim(&self) {
        for slot in &self.slots {
            let unneeded = slot.low.swap(usize::MAX, Relaxed);
            let mut gone = Vec::new();
            {
                let mut idle = slot.idle();
                let n = unneeded.min(idle.len().saturating_sub(1));
                gone.extend(idle.drain(..n));
            }
            slot.live.fetch_sub(gone.len(), Relaxed);
        }
    }
}

async fn new_instance<H: Hooks>(
    loaded: &Arc<Loaded>,
    environment: &Arc<Environment>,
) -> std::result::Result<(Live<H>, H::Setup), OpenError> {
    let mut store = store(loaded, environment);
    store.set_epoch_deadline(ticks(environment.limits.start));
    let _held = environment.ticker.hold();
    let made = async {
        let instance = instantiate(loaded, &mut store).await?;
        let hooks = H::bind(loaded, &mut store, &instance)?;
        let mut call = Call { store: &mut store, waits: loaded.waits };
        let setup = hooks.configure(&mut call).await?;
        let snapshot = export(loaded, &mut store, &instance, "state", "snapshot");
        let restore = export(loaded, &mut store, &instance, "state", "restore");
        Ok((hooks, setup, snapshot.ok().zip(restore.ok())))
    };
    let made: Result<_> = match tokio::time::timeout(environment.limits.start + environment.limits.timeout, made).await {
        Ok(made) => made,
        Err(_) => return Err(OpenError::Broken("it takes too long to configure itself (limits.start, limits.timeout)".to_owned())),
    };
    match made {
        Ok((hooks, Ok(setup), state)) => {
            let memory = store.data().memory.used;
            loaded.stats.instances(1);
            loaded.stats.memory(memory as i64);
            Ok((Live { store, hooks, names: Names::default(), state, calls: 0, memory, loaded: loaded.clone() }, setup))
        }
        Ok((_, Err(e), _)) => Err(OpenError::Config(e)),
        Err(e) => {
            let text = match broken(&e, store.data()) {
                Failure::Deadline(_) => format!("it takes longer than limits.start, {:?}, to begin", environment.limits.start),
                Failure::Trapped(_) if e.downcast_ref::<Trap>().is_none() => one_line(&e),
                Failure::Trapped(t) => format!("it trapped while it was configured: {t}"),
                other => other.to_string(),
            };
            Err(OpenError::Broken(text))
        }
    }
}

/// An instance in use. Dropped in the middle of a call, the instance goes with it.
pub(crate) struct Lease<'a, H: Hooks> {
    pool: &'a Pool<H>,
    slot: &'a Slot<H>,
    live: Option<Box<Live<H>>>,
}

impl<H: Hooks> Drop for Lease<'_, H> {
    fn drop(&mut self) {
        self.live = None;
        self.slot.live.fetch_sub(1, Relaxed);
        self.slot.freed.notify_one();
    }
}

impl<H: Hooks> Lease<'_, H> {
    pub(crate) fn live(&mut self) -> &mut Live<H> {
        match &mut self.live {
            Some(l) => l,
            None => unreachable!("a lease without an instance is never handed out"),
        }
    }

    /// Calls a function that does not wait.
    pub(crate) fn call_now<P, R>(&mut self, func: impl FnOnce(&H) -> TypedFunc<P, R>, params: P) -> std::result::Result<R, Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let pool = self.pool;
        pool.call_now(self.live(), func, params)
    }

    /// Calls a function that may wait.
    pub(crate) async fn call<P, R>(&mut self, func: impl FnOnce(&H) -> TypedFunc<P, R>, params: P) -> std::result::Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + 'static,
        R: ComponentNamedList + Lift + Send + 'static,
    {
        let pool = self.pool;
        pool.call(self.live(), func, params).await
    }

    /// Takes the instance out of turn: it serves one exchange only, until the seat is dropped.
    pub(crate) fn seat(mut self, pool: &Arc<Pool<H>>) -> Seat<H> {
        let slot = self.pool.slots.iter().position(|s| std::ptr::eq(s, self.slot)).unwrap_or(0);
        let live = self.live.take();
        std::mem::forget(self);
        Seat { pool: pool.clone(), slot, live, broken: false }
    }

    /// The call went well: the instance serves again.
    pub(crate) fn good(mut self, hook: Hook, took: Duration, outcome: Outcome) {
        self.pool.succeeded(hook, took, outcome);
        if let Some(live) = self.live.take()
            && self.pool.put_back(self.slot, live)
        {
            // Not dropped: the instance stays counted.
            std::mem::forget(self);
        }
    }

    /// The call went wrong: the instance is never used again.
    pub(crate) fn bad(self, hook: Hook, failure: &Failure, took: Duration) {
        self.pool.failed(hook, failure, took);
    }
}

/// An instance that serves one exchange from its beginning to its end.
pub(crate) struct Seat<H: Hooks> {
    pool: Arc<Pool<H>>,
    slot: usize,
    live: Option<Box<Live<H>>>,
    /// It trapped: never called again.
    broken: bool,
}

impl<H: Hooks> Seat<H> {
    pub(crate) fn pool(&self) -> &Arc<Pool<H>> {
        &self.pool
    }

    /// `None` after a failure.
    pub(crate) fn live(&mut self) -> Option<&mut Live<H>> {
        self.live.as_deref_mut()
    }

    /// Calls a function; after a failure the instance is gone.
    pub(crate) async fn call<P, R>(
        &mut self,
        hook: Hook,
        func: impl FnOnce(&H) -> TypedFunc<P, R>,
        params: P,
    ) -> std::result::Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + 'static,
        R: ComponentNamedList + Lift + Send + 'static,
    {
        self.with(hook, async |pool, live| pool.call(live, func, params).await).await
    }

    /// Works with the instance; after a failure it is gone.
    pub(crate) async fn with<R>(
        &mut self,
        hook: Hook,
        work: impl AsyncFnOnce(&Pool<H>, &mut Live<H>) -> std::result::Result<R, Failure>,
    ) -> std::result::Result<R, Failure> {
        let begin = Instant::now();
        // Out of the seat while it is called: whoever gives up in the middle leaves none behind.
        let taken = if self.broken { None } else { self.live.take() };
        let Some(mut live) = taken else { return Err(Failure::Trapped("it failed earlier in this exchange".to_owned())) };
        let result = work(&self.pool, &mut live).await;
        match &result {
            Ok(_) => self.pool.succeeded(hook, begin.elapsed(), Outcome::Good),
            Err(f) => self.pool.failed(hook, f, begin.elapsed()),
        }
        // The head of the message is still in there.
        self.live = Some(live);
        if result.is_err() {
            self.broken = true;
        }
        result
    }
}

impl<H: Hooks> Drop for Seat<H> {
    fn drop(&mut self) {
        let slot = &self.pool.slots[self.slot];
        let kept = match self.live.take() {
            Some(live) if !self.broken => self.pool.put_back(slot, live),
            _ => false,
        };
        if !kept {
            slot.live.fetch_sub(1, Relaxed);
            slot.freed.notify_one();
        }
    }
}
