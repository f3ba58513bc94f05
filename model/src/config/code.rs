//! The codes of problems in configuration files.

use crate::diagnostic::Code;

macro_rules! codes {
    ($($constant:ident $name:literal $meaning:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $meaning)]
        pub const $constant: Code = Code { name: $name, meaning: $meaning };)*

        /// All codes of this part, in order.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    UNKNOWN_KEY "cfg001" "no such key exists here";
    REPEATED_KEY "cfg002" "a key is given twice in one mapping";
    BAD_YAML "cfg003" "the text is not valid YAML";
    TOO_DEEP "cfg004" "collections are nested too deeply";
    TOO_LARGE "cfg005" "the text, or what its aliases stand for, is too large";
    UNSUPPORTED_YAML "cfg006" "a feature of YAML that configuration files do not use";
    MISSING "cfg007" "a required key is missing";
    WRONG_TYPE "cfg008" "a value is not of the key's type";
    OUT_OF_RANGE "cfg009" "a value is outside its range";
    EMPTY "cfg010" "a value is empty";
    BAD_VARIABLE "cfg011" "an environment variable is not set, or its reference is malformed";
    CONFLICT "cfg012" "two keys exclude each other";
    INVALID "cfg013" "a value is of the right type but makes no sense here";
}
