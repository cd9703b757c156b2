use offspring::{service, worker};

pub struct Point(i32, i32);

service! {
    /// Draws.
    pub trait Drawing => DrawingClient {
        fn name(&self) -> String;
        /// Draws a line.
        fn line(&mut self, from: Point, to: Point) -> Point;
        fn undo(&mut self, which: Option<u32>);
    }
}

struct Paper(Vec<(Point, Point)>);

impl Drawing for Paper {
    fn name(&self) -> String {
        "paper".to_owned()
    }
    fn line(&mut self, from: Point, to: Point) -> Point {
        let end = Point(to.0, to.1);
        self.0.push((from, to));
        end
    }
    fn undo(&mut self, which: Option<u32>) {
        self.0.truncate(which.unwrap_or_default() as usize);
    }
}

worker!(DRAWING: dyn Drawing = || Paper(Vec::new()));

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let drawing = DRAWING.spawn()?;
    drawing.name().wait()?;
    let end = drawing.line(Point(0, 0), Point(1, 1)).wait()?;
    drawing.line(&end, &end).wait()?;
    drawing.undo(Some(1)).wait()
}
