//! Two formats that are not in the crate: one over serde, and one without serde.
//!
//! ```text
//! cargo run --example own_serialiser
//! ```

use offspring::format::{Error as SerialiserError, Format, Input, Output, Serialiser};
use offspring::worker;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// JSON with line breaks and spaces, for people.
struct PrettyJson;

impl Format for PrettyJson {
    const NAME: &'static str = "pretty-json";
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for PrettyJson {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        serde_json::to_writer_pretty(output, value).map_err(SerialiserError::other)
    }
    fn decode(input: &mut Input<'_>) -> Result<T, SerialiserError> {
        serde_json::from_slice(input.bytes()).map_err(SerialiserError::other)
    }
}

#[derive(Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

fn mirror(point: Point) -> Point {
    Point {
        x: point.y,
        y: point.x,
    }
}

worker!(MIRROR: fn(Point) -> Point = mirror, serialiser = PrettyJson);

/// Numbers, eight bytes each.
struct Numbers;

impl Format for Numbers {
    const NAME: &'static str = "numbers";
}

impl<Sent: AsRef<[f64]> + ?Sized> Serialiser<Vec<f64>, Sent> for Numbers {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        let bytes = value
            .as_ref()
            .iter()
            .flat_map(|number| number.to_be_bytes());
        output.bytes().extend(bytes);
        Ok(())
    }
    fn decode(input: &mut Input<'_>) -> Result<Vec<f64>, SerialiserError> {
        match input.bytes().as_chunks() {
            (numbers, []) => Ok(numbers
                .iter()
                .map(|number| f64::from_be_bytes(*number))
                .collect()),
            _ => Err(SerialiserError::new("the last number is cut off")),
        }
    }
}

fn running_sums(numbers: Vec<f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |number| {
        sum += number;
        sum
    };
    numbers.into_iter().map(add).collect()
}

// Two dots: the list is all arguments, instead of the first of a tuple.
worker!(RUNNING_SUMS: fn(..Vec<f64>) -> Vec<f64> = running_sums, serialiser = Numbers);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let mirror = MIRROR.spawn()?;
    let point = mirror.call(Point { x: 1.0, y: 2.0 }).wait()?;
    println!("PrettyJson: {}, {}", point.x, point.y);
    let sums = RUNNING_SUMS.spawn()?;
    println!("Numbers: {:?}", sums.call([1.0, 2.0, 3.5]).wait()?);
    mirror.join().wait()?;
    sums.join().wait()?;
    Ok(())
}
