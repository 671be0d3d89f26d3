//! may's side of the core benchmarks: `bench_may CASE PROCS N` runs one case once and prints one line of key=value.
//! The cases are defined in tests/bench/core.c. What differs by nature: channels are unbounded (pingpong, skynet),
//! waiting for a coroutine is its join handle. Left out: spsc and mpmc (a bound of 128 is part of the case), select
//! (its select! starts a coroutine per case), hogs and blocker (a coroutine that does not park keeps its worker).

use may::coroutine::{yield_now, JoinHandle};
use may::go;
use may::sync::{mpmc, mpsc, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

fn join_all<T>(handles: Vec<JoinHandle<T>>) {
    for handle in handles {
        handle.join().ok().expect("a coroutine failed");
    }
}

fn yields(n: usize, coroutines: usize) -> String {
    let clock = Clock::begin();
    let coroutine = |_| {
        go!(move || for _ in 0..n / coroutines {
            yield_now();
        })
    };
    join_all((0..coroutines).map(coroutine).collect());
    clock.end(n)
}

fn spawn_join(n: usize) -> String {
    let clock = Clock::begin();
    for _ in 0..n {
        go!(|| ()).join().unwrap();
    }
    clock.end(n)
}

fn spawn_batch(n: usize) -> String {
    const BATCH: usize = 100_000;
    let clock = Clock::begin();
    let mut left = n;
    while left > 0 {
        let size = left.min(BATCH);
        join_all((0..size).map(|_| go!(|| ())).collect());
        left -= size;
    }
    clock.end(n)
}

fn pingpong(n: usize) -> String {
    let (ping, at_ping) = mpsc::channel::<i64>();
    let (pong, at_pong) = mpsc::channel::<i64>();
    let clock = Clock::begin();
    go!(move || while let Ok(v) = at_ping.recv() {
        pong.send(v).unwrap();
    });
    for i in 0..n {
        ping.send(i as i64).unwrap();
        at_pong.recv().unwrap();
    }
    drop(ping);
    assert!(at_pong.recv().is_err());
    clock.end(n)
}

fn mutex(n: usize, coroutines: usize) -> String {
    let counter = Arc::new(Mutex::new(0usize));
    let clock = Clock::begin();
    let coroutine = |_| {
        let counter = counter.clone();
        go!(move || for _ in 0..n / coroutines {
            *counter.lock().unwrap() += 1;
        })
    };
    join_all((0..coroutines).map(coroutine).collect());
    assert_eq!(*counter.lock().unwrap(), n / coroutines * coroutines);
    clock.end(n)
}

fn parked(n: usize) -> String {
    let (gate, waiting) = mpmc::channel::<i64>();
    let ready = Arc::new(AtomicUsize::new(0));
    let before = memory();
    let clock = Clock::begin();
    let coroutine = |_| {
        let (waiting, ready) = (waiting.clone(), ready.clone());
        go!(move || {
            ready.fetch_add(1, Ordering::Relaxed);
            waiting.recv().unwrap_err();
        })
    };
    let coroutines: Vec<_> = (0..n).map(coroutine).collect();
    while ready.load(Ordering::Relaxed) < n {
        yield_now();
    }
    may::coroutine::sleep(Duration::from_millis(20)); // the last ones are on their way into the wait
    let bytes = memory() - before;
    drop(gate);
    join_all(coroutines);
    clock.end(n) + &format!(" bytes_per_item={:.1}", bytes as f64 / n as f64)
}

fn sleep_millis(index: usize) -> u64 {
    1 + ((index as u32).wrapping_mul(2654435761) >> 16) as u64 % 100
}

fn sleepers(n: usize) -> String {
    let clock = Clock::begin();
    let coroutine = |i| go!(move || may::coroutine::sleep(Duration::from_millis(sleep_millis(i))));
    join_all((0..n).map(coroutine).collect());
    clock.end(n)
}

fn skynet_node(out: mpsc::Sender<i64>, number: i64, size: i64) {
    go!(move || {
        if size == 1 {
            out.send(number).unwrap();
            return;
        }
        let (part, parts) = mpsc::channel();
        for i in 0..10 {
            skynet_node(part.clone(), number + i * (size / 10), size / 10);
        }
        let sum = (0..10).map(|_| parts.recv().unwrap()).sum();
        out.send(sum).unwrap();
    });
}

fn skynet(n: usize) -> String {
    let mut leaves = 1;
    while leaves * 10 <= n as i64 {
        leaves *= 10;
    }
    let (out, result) = mpsc::channel();
    let clock = Clock::begin();
    skynet_node(out, 0, leaves);
    assert_eq!(result.recv().unwrap(), leaves * (leaves - 1) / 2);
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

fn compute(n: usize) -> String {
    const PARTS: usize = 64;
    let clock = Clock::begin();
    let part = |i| go!(move || assert_ne!(xorshift(n / PARTS, i as u64 + 1), 0));
    join_all((0..PARTS).map(part).collect());
    clock.end(n)
}

fn sleep50(n: usize) -> String {
    let mut micros = vec![0.0; n];
    let clock = Clock::begin();
    for latency in micros.iter_mut() {
        let start = Instant::now();
        may::coroutine::sleep(Duration::from_micros(50));
        *latency = start.elapsed().as_nanos() as f64 / 1000.0;
    }
    let line = clock.end(n);
    micros.sort_by(f64::total_cmp);
    line + &format!(" latency_us={:.1}", micros[n / 2])
}

fn run(name: &str, n: usize) -> Option<String> {
    Some(match name {
        "yield" => yields(n, 2),
        "yield64" => yields(n, 64),
        "spawn_join" | "spawn_task" => spawn_join(n),
        "spawn_batch" => spawn_batch(n),
        "pingpong" => pingpong(n),
        "mutex1" => mutex(n, 1),
        "mutex4" => mutex(n, 4),
        "parked" => parked(n),
        "sleepers" => sleepers(n),
        "skynet" => skynet(n),
        "compute" => compute(n),
        "sleep50" => sleep50(n),
        _ => return None,
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments.get(i).and_then(|a| a.parse::<usize>().ok()).filter(|n| *n > 0);
    let (Some(procs), Some(n), 4) = (number(2), number(3), arguments.len()) else {
        eprintln!("usage: bench_may CASE PROCS N");
        std::process::exit(2);
    };
    may::config().set_workers(procs);
    let name = arguments[1].clone();
    let line = go!(move || run(&name, n)).join().unwrap();
    match line {
        Some(line) => println!("case={} procs={procs} n={n}{line}", arguments[1]),
        None => println!("skip=not_in_may"),
    }
    std::process::exit(0); // without waiting for idle workers
}
