# file: src/parent/reactor.rs
# target: --test it
# test: idle::an_idle_pool_uses_no_cpu
s/let timer = state.timers.first().map(|(at, _)| \*at);/let timer = Some(Instant::now() + Duration::from_millis(5));/
