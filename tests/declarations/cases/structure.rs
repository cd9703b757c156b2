use offspring::worker;

struct Point(i32, i32);

fn mirror(point: Point) -> Point {
    Point(point.1, point.0)
}

worker!(
    /// Mirrors it.
    MIRROR: fn(Point) -> Point = mirror
);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let rpc = MIRROR.spawn()?;
    let point = rpc.call(Point(1, 2)).wait()?;
    assert_eq!(rpc.call(&point).wait()?.0, 1);
    Ok(())
}
