//! Names in messages: the nearest known one, and those of types as Rhai's book has them.

use strsim::osa_distance;

const TYPES: [(&str, &str); 9] = [
    ("&str | ImmutableString | String", "string"),
    ("rhai_py::record::RecordRef", "record"),
    ("rhai_py::workers::WorkersRef", "workers"),
    ("rhai_py::values::NoneValue", "none"),
    ("rhai_py::values::Verdict", "verdict"),
    ("Fn*", "function"),
    ("Fn", "function"),
    ("i64", "integer"),
    ("f64", "float"),
];

/// A message of Rhai without the names of Rust types.
pub fn in_words_of_book(text: &str) -> String {
    TYPES.iter().fold(text.to_owned(), |text, (rust, book)| {
        replace_word(&text, rust, book)
    })
}

/// Replace `word` where it is not part of a longer one.
fn replace_word(text: &str, word: &str, with: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let inside = before.chars().last().is_some_and(is_part) || after.chars().next().is_some_and(is_part);
        replaced.push_str(before);
        replaced.push_str(if inside { word } else { with });
        rest = after;
    }
    replaced + rest
}

/// ` ; did you mean 'x'?` or nothing when no candidate is near.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |found| format!("; did you mean '{found}'?"))
}

fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length < 3 {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| {
            (
                osa_distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_is_the_nearest_name_or_nothing() {
        let known = ["gpu_type", "gpu_index", "load"];
        assert_eq!(suggestion("gpu_typ", known), "; did you mean 'gpu_type'?");
        assert_eq!(suggestion("GPU_TYPE", known), "; did you mean 'gpu_type'?");
        assert_eq!(suggestion("colour", known), "");
        assert_eq!(suggestion("ld", known), "");
    }

    #[test]
    fn types_are_replaced_as_whole_words() {
        assert_eq!(
            in_words_of_book("i64 and ai64 (Fn)"),
            "integer and ai64 (function)"
        );
    }
}
