//! A web service that makes thumbnails of pictures from strangers. A picture that crashes the decoder ends a child process
//! and fails the request that brought it. Other requests do not notice.
//!
//! ```text
//! cargo run -p web -- --listen 127.0.0.1:8080
//! curl --data-binary @picture.jpg http://127.0.0.1:8080/thumbnail --output thumbnail.png
//! curl http://127.0.0.1:8080/metrics
//! ```
//!
//! `POST /thumbnail` takes a PNG or JPEG picture and answers with:
//!
//! | status | when |
//! |---|---|
//! | 200 | a PNG picture with at most 128 pixels a side |
//! | 413 | the upload has more than 32 MiB |
//! | 422 | the upload is no picture, or the decoder panicked, or the child crashed: by a fault, or out of memory |
//! | 500 | the call failed for another reason, such as a child that cannot be started |
//! | 503 | all children are busy and the queue is full |
//! | 504 | the deadline has passed. The child is killed, so the work has stopped |
//!
//! A client that closes its connection stops the work, too: axum then drops the handler, and with it the call. On Ctrl-C
//! or `SIGTERM` the service accepts no more connections, answers the requests that it has, and ends.

use std::io::Cursor;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use clap::Parser;
use image::{ImageFormat, ImageReader};
use offspring::{CallError, FlattenErrors, Limits, Pool, Postcard, WorkerError, worker};
use tokio::net::TcpListener;
use tokio::signal::{ctrl_c, unix::SignalKind, unix::signal};

const SIDE: u32 = 128; // pixels
const UPLOAD: usize = 32 << 20; // bytes

type Picture = Result<offspring::Bytes, WorkerError>;

worker!(THUMBNAIL: fn(offspring::Bytes) -> Picture = thumbnail, serialiser = Postcard);

/// Runs in a child.
fn thumbnail(picture: offspring::Bytes) -> Picture {
    let mut reader = ImageReader::new(Cursor::new(&*picture)).with_guessed_format()?;
    // The limits of the process bound the memory, also of a decoder that does not count its own.
    reader.no_limits();
    let mut png = Cursor::new(Vec::new());
    let small = reader.decode()?.thumbnail(SIDE, SIDE);
    small.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner().into())
}

type Thumbnails = Pool<fn(offspring::Bytes) -> Picture, Postcard>;

/// Makes thumbnails of pictures from strangers.
#[derive(Parser)]
struct Options {
    /// Address to listen on; the port 0 is any that is free
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Children: pictures that are decoded at the same time
    #[arg(long, default_value_t = 4)]
    children: usize,
    /// Requests that may wait for a child
    #[arg(long, default_value_t = 16)]
    queue: usize,
    /// Milliseconds after which a request is given up
    #[arg(long, default_value_t = 10_000)]
    deadline: u64,
}

fn main() -> anyhow::Result<()> {
    offspring::init(); // before the runtime starts: in a child, it does not return
    serve(Options::parse())
}

#[tokio::main]
async fn serve(options: Options) -> anyhow::Result<()> {
    let pool = THUMBNAIL
        .builder()
        .limits(Limits::new().memory(512 << 20).core_size(0))
        .capture_stderr(4096)
        .own_group() // Ctrl-C is for this process, which lets the children finish
        .pool()
        .max(options.children)
        .load(1) // so a child that is killed takes one call along, and no other
        .max_queue(options.queue, options.queue * UPLOAD)
        .call_timeout(Duration::from_millis(options.deadline))
        .kill_on_cancel(true)
        .on_error(|error| eprintln!("{error}"))
        .spawn()?;
    let routes = Router::new()
        .route("/thumbnail", post(answer))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(UPLOAD))
        .with_state(pool.clone());
    let listener = TcpListener::bind(options.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = ctrl_c() => {} }
    };
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop)
        .await?;
    pool.join().within(Duration::from_secs(5)).await?;
    Ok(())
}

async fn answer(State(pool): State<Thumbnails>, upload: Bytes) -> impl IntoResponse {
    let Ok(call) = pool.try_call(upload) else {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    };
    let log = |error: &_| eprintln!("{error}"); // not for the client: it names files and processes
    match call.await.flatten_errors().inspect_err(log) {
        Ok(png) => Ok(([(CONTENT_TYPE, "image/png")], png.into_vec())),
        Err(error) => Err(status_of(&error)),
    }
}

fn status_of(error: &CallError<WorkerError>) -> StatusCode {
    match error {
        CallError::Call(error) if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
        CallError::Call(error) if !error.is_child_dead() && !error.is_panic() => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// The state of the pool, in the text format of Prometheus.
async fn metrics(State(pool): State<Thumbnails>) -> String {
    let now = pool.status();
    let line = |(name, number)| format!("thumbnail_{name} {number}\n");
    let lines = [
        ("children{state=\"idle\"}", now.idle as u64),
        ("children{state=\"busy\"}", now.busy as u64),
        ("calls{state=\"queued\"}", now.queued as u64),
        ("calls{state=\"running\"}", now.running as u64),
        ("calls_answered_total", now.answered),
        ("children_started_total", now.started),
        ("children_died_total", now.died),
    ];
    lines.map(line).concat()
}
