//! Continues a prompt with the model inside the binary.

use std::io::Write;

use polysilicon::{Error, Model, Sampling};

fn main() -> Result<(), Error> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "Once upon a time".to_owned());
    let model = Model::open("embedded")?.load()?;
    print!("{prompt}");
    for piece in model.generate(prompt.as_str(), &Sampling::default().max_tokens(100))? {
        print!("{}", piece?.text);
        let _ = std::io::stdout().flush();
    }
    println!();
    Ok(())
}
