//! `mutualgate decide --batch` without Python: JSON lines in, one answer each.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().split(b'\n') {
        output.write_all(&judge::batch::decide_batch(&line?))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
