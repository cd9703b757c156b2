use offspring::worker;

worker!(ECHO: fn(String) -> String = |text: String| text, max_runing = 3, name = "echo");

fn main() {}
