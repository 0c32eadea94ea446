//! What scripts cost by Rhai from Rust, as its book shows: an engine with everything, workers as an array of maps.
//!
//! `direct FILE FUNCTION WORKERS CALLS` prints the microseconds of CPU of each call, sorted, one a line. `least_loaded` is there as
//! a host would register it; the limits of the binding are not.

use std::env;
use std::error::Error;
use std::fs;

use cpu_time::ThreadTime;
use rhai::{Array, Dynamic, Engine, Map, Scope};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, file, function, workers, calls] = arguments.as_slice() else {
        return Err("usage: direct FILE FUNCTION WORKERS CALLS".into());
    };
    let (count, calls): (i64, usize) = (workers.parse()?, calls.parse()?);
    let mut engine = Engine::new();
    engine.register_fn("least_loaded", least_loaded);
    let ast = engine.compile(fs::read_to_string(file)?)?;
    let workers: Array = (0..count).map(worker).collect();
    let task: Map = [
        ("model".into(), "llama-3-70b".into()),
        ("priority".into(), 3.into()),
    ]
    .into();
    let mut times = Vec::with_capacity(calls);
    for number in 0..calls + calls / 10 {
        let started = ThreadTime::now();
        // The engine takes its arguments, so each call gets copies.
        let _: Dynamic =
            engine.call_fn(&mut Scope::new(), &ast, function, (task.clone(), workers.clone()))?;
        if number >= calls / 10 {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    times.iter().for_each(|time| println!("{time:.2}"));
    Ok(())
}

fn worker(number: i64) -> Dynamic {
    let gpu = if number % 2 == 1 { "A100" } else { "H100" };
    let worker: Map = [
        ("id".into(), format!("w-{number}").into()),
        ("gpu_type".into(), gpu.into()),
        ("model".into(), "llama-3-70b".into()),
        ("region".into(), "EU".into()),
        ("tier".into(), "pro".into()),
        ("load".into(), ((number * 7919 % 1000) as f64 / 1000.0).into()),
        ("in_flight".into(), (number % 3).into()),
        ("vram_free_mb".into(), (1000 * number).into()),
    ]
    .into();
    worker.into()
}

fn least_loaded(workers: &mut Array) -> Dynamic {
    let load = |worker: &Dynamic| {
        let map = worker.read_lock::<Map>();
        map.and_then(|map| map.get("load").and_then(|load| load.as_float().ok()))
            .unwrap_or(f64::INFINITY)
    };
    let least = workers.iter().min_by(|a, b| load(a).total_cmp(&load(b)));
    least.cloned().unwrap_or(Dynamic::UNIT)
}
