//! The engines, and the thread that counts their time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// One tick of the epoch: the grain of CPU deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Address space set aside for one memory, and so the most that `limits.memory` can be.
pub(crate) const MAX_MEMORY: usize = 1 << 30;
/// Without a call for that long, and longer than any deadline, the clock thread sleeps.
const IDLE: Duration = Duration::from_secs(1);

/// Instances alive at once, of all plugins together.
const INSTANCES: u32 = 1000;
/// Core modules in one of them; a component of Python has 14.
const CORE_INSTANCES: u32 = 16;

/// The engines of a process. Both allocate instances from pools that are mapped once.
pub(crate) struct Engines {
    /// Of all `torana:plugin` worlds and of `wasi:http` 0.2: without support for concurrent calls into one
    /// instance, which would make each call twice as slow.
    pub(crate) fast: Engine,
    /// Of `wasi:http` 0.3; made when the first such component is loaded.
    concurrent: OnceLock<Result<Engine, String>>,
    pub(crate) ticker: Arc<Ticker>,
}

impl Engines {
    /// The error says why this machine cannot run plugins.
    pub(crate) fn new() -> Result<Engines, String> {
        let fast = engine(false)?;
        let ticker = Arc::new(Ticker::default());
        ticker.clone().run(vec![fast.clone()]);
        Ok(Engines { fast, concurrent: OnceLock::new(), ticker })
    }

    pub(crate) fn concurrent(&self) -> Result<&Engine, String> {
        let made = self.concurrent.get_or_init(|| {
            let engine = engine(true)?;
            self.ticker.clone().run(vec![engine.clone()]);
            Ok(engine)
        });
        made.as_ref().map_err(Clone::clone)
    }
}

fn engine(concurrent: bool) -> Result<Engine, String> {
    let mut config = Config::new();
    config
        .concurrency_support(concurrent)
        .wasm_component_model_async(concurrent)
        .epoch_interruption(true)
        .memory_reservation(MAX_MEMORY as u64)
        .memory_guard_size(64 << 10)
        .memory_may_move(false)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * CORE_INSTANCES)
        .total_memories(INSTANCES * 2)
        .total_tables(INSTANCES * 4)
        .total_stacks(INSTANCES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(200)
        .max_memories_per_component(20)
        .max_tables_per_component(40)
        .max_tables_per_module(4)
        .max_memories_per_module(4)
        .table_elements(40_000)
        .max_memory_size(MAX_MEMORY)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(16);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(pooled) => {
            // Little address space (RLIMIT_AS, vm.overcommit_memory=2): slower, but it works.
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            config.memory_reservation(64 << 20).memory_may_move(true);
            let engine = Engine::new(&config).map_err(|e| format!("cannot start the WebAssembly engine: {e:#}"))?;
            tracing::warn!(reason = format!("{pooled:#}"), "no address space for the pool of plugin instances: each is mapped anew");
            Ok(engine)
        }
    }
}

/// Advances the epochs while plugins are called.
#[derive(Default)]
pub(crate) struct Ticker {
    /// A call has begun since the thread looked last.
    called: AtomicBool,
    parked: AtomicBool,
    /// Calls that may wait for something and run for long.
    held: AtomicUsize,
    /// Milliseconds of the longest deadline.
    longest: AtomicU64,
    threads: std::sync::Mutex<Vec<std::thread::Thread>>,
}

impl Ticker {
    /// At the start of a call that does not wait.
    pub(crate) fn wake(&self) {
        if !self.called.load(Relaxed) {
            self.called.store(true, SeqCst);
        }
        if self.parked.load(SeqCst) {
            self.parked.store(false, SeqCst);
            for t in self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
                t.unpark();
            }
        }
    }

    /// For a call that may wait: time goes on for as long as this lives.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.held.fetch_add(1, SeqCst);
        self.wake();
        Held(self.clone())
    }

    /// There is a deadline that long.
    pub(crate) fn reckon_with(&self, deadline: Duration) {
        self.longest.fetch_max(deadline.as_millis() as u64, Relaxed);
    }

    fn run(self: Arc<Self>, engines: Vec<Engine>) {
        let ticker = Arc::downgrade(&self);
        let this = self.clone();
        let spawned = std::thread::Builder::new().name("torana-epoch".into()).spawn(move || {
            let mut last_call = Instant::now();
            while let Some(t) = ticker.upgrade() {
                std::thread::sleep(TICK);
                engines.iter().for_each(Engine::increment_epoch);
                if t.called.load(Relaxed) || t.held.load(Relaxed) > 0 {
                    t.called.store(false, SeqCst);
                    last_call = Instant::now();
                } else if last_call.elapsed() > IDLE + Duration::from_millis(t.longest.load(Relaxed)) {
                    t.parked.store(true, SeqCst);
                    // Whoever calls from here on sees `parked`; who called before is seen here.
                    if !t.called.load(SeqCst) && t.held.load(SeqCst) == 0 {
                        drop(t);
                        std::thread::park_timeout(Duration::from_secs(3600));
                        last_call = Instant::now();
                    }
                }
            }
        });
        match spawned {
            Ok(handle) => this.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(handle.thread().clone()),
            Err(error) => tracing::error!(%error, "no thread for the deadlines of plugins"),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        for t in self.threads.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) {
            t.unpark();
        }
    }
}

pub(crate) struct Held(Arc<Ticker>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, SeqCst);
    }
}
