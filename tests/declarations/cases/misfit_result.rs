use offspring::worker;

fn length(text: String) -> u32 {
    text.len() as u32
}

worker!(LENGTH: fn(String) -> usize = length);

fn main() {
    offspring::init();
    LENGTH.spawn().unwrap().call("so").wait().unwrap();
}
