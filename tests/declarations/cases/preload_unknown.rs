use offspring::preload;

preload!(TEXT(String) -> String = std::fs::read_to_string, serialser = offspring::Octets);

fn main() {
    offspring::init();
}
