//! The rows, the workloads and their measures, and the row that others are compared with.

/// A peer in one variant.
pub struct Row {
    pub name: &'static str,
    /// The program in `src/bin`, or `perl`.
    pub program: &'static str,
    pub variant: &'static str,
    pub workloads: &'static str,
    /// `NAME=VALUE`, for peers that are too slow for the default number of calls.
    pub environment: &'static str,
}

const fn row(
    name: &'static str,
    program: &'static str,
    variant: &'static str,
    workloads: &'static str,
    environment: &'static str,
) -> Row {
    Row {
        name,
        program,
        variant,
        workloads,
        environment,
    }
}

pub const PERL: &str = "perl";

pub const ROWS: &[Row] = &[
    row(
        "bare",
        "bare",
        "std",
        "rtt32 rtt32pin rtt32await pipe32 pipe32await pipe32u bulk1m bulk16m spawn spawn_big idle",
        "",
    ),
    row("bare-spinning", "bare", "spin", "rtt32 rtt32pin", ""),
    row("bare-big-buffers", "bare", "big", "bulk1m bulk16m", ""),
    row("bare-shared-memory", "bare", "shm", "bulk1m bulk16m", ""),
    row("bare-forked", "bare", "zygote", "fork fork_big idle", ""),
    row("bare-postcard", "bare", "postcard", "struct", ""),
    row("bare-messagepack", "bare", "messagepack", "struct", ""),
    row("bare-cbor", "bare", "cbor", "struct", ""),
    row("bare-json", "bare", "json", "struct", ""),
    row("bare-1-process", "bare", "pool1", "pool", ""),
    row("bare-2-processes", "bare", "pool2", "pool", ""),
    row(
        "offspring",
        "offspring",
        "std",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m spawn spawn_big idle pool",
        "",
    ),
    row(
        "offspring-template",
        "offspring",
        "template",
        "fork fork_big idle",
        "",
    ),
    row(
        "offspring-nospin",
        "offspring",
        "nospin",
        "rtt32 rtt32pin pipe32",
        "",
    ),
    row(
        "offspring-concurrent",
        "offspring",
        "concurrent",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m spawn idle sleepers",
        "",
    ),
    row(
        "offspring-tokio",
        "awaited",
        "tokio",
        "rtt32await pipe32await",
        "",
    ),
    row(
        "offspring-tokio-mt",
        "awaited",
        "tokio-mt",
        "rtt32await pipe32await",
        "",
    ),
    row(
        "offspring-smol",
        "awaited",
        "smol",
        "rtt32await pipe32await",
        "",
    ),
    row(
        "offspring-postcard",
        "offspring",
        "postcard",
        "struct pipe32",
        "",
    ),
    row(
        "offspring-messagepack",
        "offspring",
        "messagepack",
        "struct",
        "",
    ),
    row("offspring-cbor", "offspring", "cbor", "struct", ""),
    row("offspring-json", "offspring", "json", "struct", ""),
    row("offspring-2-children", "offspring", "two", "pool", ""),
    row("offspring-pool-of-2", "offspring", "pool", "pool", ""),
    row(
        "offspring-pool-of-2-load-16",
        "offspring",
        "pool16",
        "pool",
        "",
    ),
    row(
        "ipc-channel",
        "ipc-channel",
        "std",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m spawn spawn_big idle struct",
        "",
    ),
    row(
        "ipc-channel-bytes",
        "ipc-channel",
        "bytes",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m",
        "",
    ),
    row(
        "ipc-channel-shmem",
        "ipc-channel",
        "shmem",
        "bulk1m bulk16m",
        "",
    ),
    row(
        "tarpc",
        "tarpc",
        "ct-bincode",
        "rtt32 rtt32pin rtt32await pipe32 pipe32await pipe32u bulk1m bulk16m spawn spawn_big idle struct sleepers pool",
        "",
    ),
    row(
        "tarpc-mt",
        "tarpc",
        "mt-bincode",
        "rtt32 rtt32pin rtt32await pipe32 pipe32await pipe32u bulk1m bulk16m spawn spawn_big idle struct sleepers",
        "",
    ),
    row("tarpc-json", "tarpc", "ct-json", "struct", ""),
    row(
        "procspawn",
        "procspawn",
        "pool",
        "rtt32 rtt32pin pipe32 bulk1m bulk16m spawn spawn_big idle struct pool",
        "PIPE_N=20000",
    ),
    row("procspawn-once", "procspawn", "once", "spawn spawn_big", ""),
    row("procspawn-2-processes", "procspawn", "pool2", "pool", ""),
    row(
        "zmq",
        "zmq",
        "std",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m spawn spawn_big idle struct",
        "",
    ),
    row(
        "original-sync",
        PERL,
        "sync",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m spawn spawn_big idle",
        "",
    ),
    row(
        "original-async",
        PERL,
        "async",
        "rtt32 rtt32pin pipe32 pipe32u bulk1m bulk16m spawn spawn_big idle sleepers",
        "",
    ),
    row(
        "original-template",
        PERL,
        "sync-tmpl",
        "fork fork_big idle",
        "",
    ),
    row("original-cbor", PERL, "sync-cbor", "struct", ""),
    row("original-json", PERL, "sync-json", "struct", ""),
];

/// A number that a workload measures.
pub struct Measure {
    pub workload: &'static str,
    pub metric: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// Factor that converts a value into `unit`.
    pub scale: f64,
    pub digits: usize,
    pub more_is_better: bool,
    /// The row that others are compared with.
    pub base: &'static str,
}

const fn cost(
    workload: &'static str,
    metric: &'static str,
    title: &'static str,
    unit: &'static str,
    digits: usize,
    base: &'static str,
) -> Measure {
    Measure {
        workload,
        metric,
        title,
        unit,
        scale: 1.0,
        digits,
        more_is_better: false,
        base,
    }
}

const fn rate(
    workload: &'static str,
    metric: &'static str,
    title: &'static str,
    unit: &'static str,
    scale: f64,
    digits: usize,
    base: &'static str,
) -> Measure {
    Measure {
        workload,
        metric,
        title,
        unit,
        scale,
        digits,
        more_is_better: true,
        base,
    }
}

pub const MEASURES: &[Measure] = &[
    cost(
        "rtt32",
        "us",
        "echo of 32 bytes, blocking",
        "µs",
        1,
        "bare",
    ),
    cost(
        "rtt32",
        "cpu_us",
        "… CPU time of both sides",
        "µs a call",
        1,
        "bare",
    ),
    cost("rtt32pin", "us", "… both sides on one CPU", "µs", 1, "bare"),
    cost("rtt32await", "us", "… awaited", "µs", 1, "bare"),
    cost(
        "rtt32await",
        "cpu_us",
        "… awaited, CPU time of both sides",
        "µs a call",
        1,
        "bare",
    ),
    rate(
        "pipe32",
        "calls_s",
        "1024 calls of 32 bytes in flight",
        "M calls/s",
        1e-6,
        3,
        "bare",
    ),
    cost(
        "pipe32",
        "cpu_us",
        "… CPU time of both sides",
        "µs a call",
        3,
        "bare",
    ),
    rate(
        "pipe32await",
        "calls_s",
        "… awaited",
        "M calls/s",
        1e-6,
        3,
        "bare",
    ),
    rate(
        "pipe32u",
        "calls_s",
        "… 200,000 in flight",
        "M calls/s",
        1e-6,
        3,
        "bare",
    ),
    cost(
        "pipe32u",
        "cpu_us",
        "… CPU time of both sides",
        "µs a call",
        3,
        "bare",
    ),
    rate("bulk1m", "gib_s", "echo of 1 MiB", "GiB/s", 1.0, 2, "bare"),
    rate(
        "bulk16m",
        "gib_s",
        "echo of 16 MiB",
        "GiB/s",
        1.0,
        2,
        "bare",
    ),
    rate(
        "struct",
        "calls_s",
        "echo of 64 records",
        "calls/s",
        1.0,
        0,
        "bare-postcard",
    ),
    cost("spawn", "ms", "start, one call, end", "ms", 2, "bare"),
    cost("spawn_big", "ms", "… 2 GiB in use here", "ms", 2, "bare"),
    cost(
        "fork",
        "ms",
        "the same from a template",
        "ms",
        2,
        "bare-forked",
    ),
    cost(
        "fork_big",
        "ms",
        "… 2 GiB in use here",
        "ms",
        2,
        "bare-forked",
    ),
    cost(
        "idle",
        "private_dirty_kib",
        "private memory of an idle child",
        "KiB",
        0,
        "bare",
    ),
    cost(
        "sleepers",
        "s",
        "10,000 sleeps of 100 ms in one child",
        "s",
        3,
        "tarpc",
    ),
    cost(
        "sleepers",
        "peak_rss_kib",
        "… the child's most memory",
        "KiB",
        0,
        "tarpc",
    ),
    cost(
        "pool",
        "s",
        "20,000 jobs of 50 µs in two children",
        "s",
        3,
        "bare-2-processes",
    ),
];

/// A column of the short table. It shows the best of the peer's rows, or with `first` the first row that has the
/// workload.
pub struct Column {
    pub title: &'static str,
    pub rows: &'static [&'static str],
    pub first: bool,
}

pub const COLUMNS: &[Column] = &[
    Column {
        title: "offspring",
        rows: &[
            "offspring-pool-of-2-load-16",
            "offspring",
            "offspring-tokio",
            "offspring-postcard",
            "offspring-concurrent",
            "offspring-template",
        ],
        first: true,
    },
    Column {
        title: "ipc-channel",
        rows: &["ipc-channel", "ipc-channel-bytes", "ipc-channel-shmem"],
        first: false,
    },
    Column {
        title: "tarpc",
        rows: &["tarpc", "tarpc-mt"],
        first: false,
    },
    Column {
        title: "procspawn",
        rows: &["procspawn", "procspawn-once", "procspawn-2-processes"],
        first: false,
    },
    Column {
        title: "zmq",
        rows: &["zmq"],
        first: false,
    },
    Column {
        title: "the original",
        rows: &[
            "original-sync",
            "original-async",
            "original-template",
            "original-cbor",
            "original-json",
        ],
        first: false,
    },
];

/// For each format: the row of this crate, and the row of the format over a bare socketpair.
pub const FORMATS: &[(&str, &str, &str)] = &[
    ("postcard", "offspring-postcard", "bare-postcard"),
    ("messagepack", "offspring-messagepack", "bare-messagepack"),
    ("cbor", "offspring-cbor", "bare-cbor"),
    ("json", "offspring-json", "bare-json"),
];
