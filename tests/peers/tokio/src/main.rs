//! tokio's side of the core benchmarks: `bench_tokio CASE PROCS N` runs one case once and prints one line of key=value.
//! The cases are defined in tests/bench/core.c. What differs by nature: tasks are state machines without a stack, the
//! narrowest channel holds one element (pingpong, select, skynet), waiting for a task is its join handle. Left out:
//! mpmc (no such channel), hogs and blocker (a task that does not await keeps its worker for ever).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch, Mutex};
use tokio::task::{spawn, yield_now, JoinHandle};

struct Clock {
    wall: Instant,
    cpu: i64,
}

fn cpu_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

impl Clock {
    fn begin() -> Clock {
        Clock { wall: Instant::now(), cpu: cpu_ns() }
    }
    fn end(&self, ops: usize) -> String {
        let cpu = (cpu_ns() - self.cpu) as f64 / ops as f64;
        let wall = self.wall.elapsed().as_nanos() as f64 / ops as f64;
        format!(" cpu_ns_per_op={cpu:.3} wall_ns_per_op={wall:.3}")
    }
}

/// What the process holds: resident pages and page tables, in bytes.
fn memory() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
    text.lines().filter(|l| l.starts_with("VmRSS:") || l.starts_with("VmPTE:")).map(kib).sum::<i64>() * 1024
}

async fn join_all<T>(handles: Vec<JoinHandle<T>>) {
    for handle in handles {
        handle.await.ok().expect("a task failed");
    }
}

async fn yields(n: usize, tasks: usize) -> String {
    let clock = Clock::begin();
    let task = |_| {
        spawn(async move {
            for _ in 0..n / tasks {
                yield_now().await;
            }
        })
    };
    join_all((0..tasks).map(task).collect()).await;
    clock.end(n)
}

async fn spawn_join(n: usize) -> String {
    let clock = Clock::begin();
    for _ in 0..n {
        spawn(async {}).await.unwrap();
    }
    clock.end(n)
}

async fn spawn_batch(n: usize) -> String {
    const BATCH: usize = 100_000;
    let clock = Clock::begin();
    let mut left = n;
    while left > 0 {
        let size = left.min(BATCH);
        join_all((0..size).map(|_| spawn(async {})).collect()).await;
        left -= size;
    }
    clock.end(n)
}

async fn pingpong(n: usize) -> String {
    let (ping, mut at_ping) = mpsc::channel::<i64>(1);
    let (pong, mut at_pong) = mpsc::channel::<i64>(1);
    let clock = Clock::begin();
    spawn(async move {
        while let Some(v) = at_ping.recv().await {
            pong.send(v).await.unwrap();
        }
    });
    for i in 0..n {
        ping.send(i as i64).await.unwrap();
        at_pong.recv().await.unwrap();
    }
    drop(ping);
    assert!(at_pong.recv().await.is_none());
    clock.end(n)
}

async fn produce(items: mpsc::Sender<i64>, n: usize) {
    for _ in 0..n {
        items.send(1).await.unwrap();
    }
}

async fn spsc(n: usize) -> String {
    let (items, mut taken) = mpsc::channel::<i64>(128);
    let clock = Clock::begin();
    let producer = spawn(produce(items, n));
    let consumer = spawn(async move {
        let mut sum = 0;
        while let Some(v) = taken.recv().await {
            sum += v;
        }
        sum
    });
    producer.await.unwrap();
    assert_eq!(consumer.await.unwrap(), n as i64);
    clock.end(n)
}

fn source(n: usize) -> mpsc::Receiver<i64> {
    let (items, taken) = mpsc::channel(1);
    spawn(produce(items, n));
    taken
}

async fn select2(n: usize) -> String {
    let clock = Clock::begin();
    let (mut a, mut b) = (source(n / 2), source(n / 2));
    let mut sum = 0;
    for _ in 0..n / 2 * 2 {
        sum += tokio::select! { Some(v) = a.recv() => v, Some(v) = b.recv() => v };
    }
    assert_eq!(sum, (n / 2 * 2) as i64);
    clock.end(n)
}

async fn select8(n: usize) -> String {
    let clock = Clock::begin();
    let source = || source(n / 8);
    let (mut a, mut b, mut c, mut d) = (source(), source(), source(), source());
    let (mut e, mut f, mut g, mut h) = (source(), source(), source(), source());
    let mut sum = 0;
    for _ in 0..n / 8 * 8 {
        sum += tokio::select! {
            Some(v) = a.recv() => v, Some(v) = b.recv() => v, Some(v) = c.recv() => v, Some(v) = d.recv() => v,
            Some(v) = e.recv() => v, Some(v) = f.recv() => v, Some(v) = g.recv() => v, Some(v) = h.recv() => v
        };
    }
    assert_eq!(sum, (n / 8 * 8) as i64);
    clock.end(n)
}

async fn mutex(n: usize, tasks: usize) -> String {
    let counter = Arc::new(Mutex::new(0usize));
    let clock = Clock::begin();
    let task = |_| {
        let counter = counter.clone();
        spawn(async move {
            for _ in 0..n / tasks {
                *counter.lock().await += 1;
            }
        })
    };
    join_all((0..tasks).map(task).collect()).await;
    assert_eq!(*counter.lock().await, n / tasks * tasks);
    clock.end(n)
}

async fn parked(n: usize) -> String {
    let (gate, waiting) = watch::channel(());
    let ready = Arc::new(AtomicUsize::new(0));
    let before = memory();
    let clock = Clock::begin();
    let task = |_| {
        let (mut waiting, ready) = (waiting.clone(), ready.clone());
        spawn(async move {
            ready.fetch_add(1, Ordering::Relaxed);
            waiting.changed().await.unwrap_err();
        })
    };
    let tasks: Vec<_> = (0..n).map(task).collect();
    while ready.load(Ordering::Relaxed) < n {
        yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await; // the last ones are on their way into the wait
    let bytes = memory() - before;
    drop(gate);
    join_all(tasks).await;
    clock.end(n) + &format!(" bytes_per_item={:.1}", bytes as f64 / n as f64)
}

fn sleep_millis(index: usize) -> u64 {
    1 + ((index as u32).wrapping_mul(2654435761) >> 16) as u64 % 100
}

async fn sleepers(n: usize) -> String {
    let clock = Clock::begin();
    let task = |i| spawn(tokio::time::sleep(Duration::from_millis(sleep_millis(i))));
    join_all((0..n).map(task).collect()).await;
    clock.end(n)
}

fn skynet_node(out: mpsc::Sender<i64>, number: i64, size: i64) {
    spawn(async move {
        if size == 1 {
            out.send(number).await.unwrap();
            return;
        }
        let (part, mut parts) = mpsc::channel(1);
        for i in 0..10 {
            skynet_node(part.clone(), number + i * (size / 10), size / 10);
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += parts.recv().await.unwrap();
        }
        out.send(sum).await.unwrap();
    });
}

async fn skynet(n: usize) -> String {
    let mut leaves = 1;
    while leaves * 10 <= n as i64 {
        leaves *= 10;
    }
    let (out, mut result) = mpsc::channel(1);
    let clock = Clock::begin();
    skynet_node(out, 0, leaves);
    assert_eq!(result.recv().await.unwrap(), leaves * (leaves - 1) / 2);
    clock.end(leaves as usize)
}

fn xorshift(steps: usize, mut x: u64) -> u64 {
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

async fn compute(n: usize) -> String {
    const PARTS: usize = 64;
    let clock = Clock::begin();
    let part = |i| spawn(async move { assert_ne!(xorshift(n / PARTS, i as u64 + 1), 0) });
    join_all((0..PARTS).map(part).collect()).await;
    clock.end(n)
}

async fn sleep50(n: usize) -> String {
    let mut micros = vec![0.0; n];
    let clock = Clock::begin();
    for latency in micros.iter_mut() {
        let start = Instant::now();
        tokio::time::sleep(Duration::from_micros(50)).await;
        *latency = start.elapsed().as_nanos() as f64 / 1000.0;
    }
    let line = clock.end(n);
    micros.sort_by(f64::total_cmp);
    line + &format!(" latency_us={:.1}", micros[n / 2])
}

async fn run(name: String, n: usize) -> Option<String> {
    Some(match name.as_str() {
        "yield" => yields(n, 2).await,
        "yield64" => yields(n, 64).await,
        "spawn_join" | "spawn_task" => spawn_join(n).await,
        "spawn_batch" => spawn_batch(n).await,
        "pingpong" => pingpong(n).await,
        "spsc" => spsc(n).await,
        "select2" => select2(n).await,
        "select8" => select8(n).await,
        "mutex1" => mutex(n, 1).await,
        "mutex4" => mutex(n, 4).await,
        "parked" => parked(n).await,
        "sleepers" => sleepers(n).await,
        "skynet" => skynet(n).await,
        "compute" => compute(n).await,
        "sleep50" => sleep50(n).await,
        _ => return None,
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments.get(i).and_then(|a| a.parse::<usize>().ok()).filter(|n| *n > 0);
    let (Some(procs), Some(n), 4) = (number(2), number(3), arguments.len()) else {
        eprintln!("usage: bench_tokio CASE PROCS N");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(procs).enable_time().build().unwrap();
    let name = arguments[1].clone();
    // The case runs as a task: the future of block_on itself would run beside the workers.
    match runtime.block_on(runtime.spawn(run(name.clone(), n))).unwrap() {
        Some(line) => println!("case={name} procs={procs} n={n}{line}"),
        None => println!("skip=not_in_tokio"),
    }
}
