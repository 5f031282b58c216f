//! The decoder process alone, for tests and measurements: what `eyelet decoder` is.

fn main() -> std::io::Result<()> {
    pixels::decode(std::io::stdin().lock(), std::io::stdout().lock())
}
