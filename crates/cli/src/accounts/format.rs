//! The forms in which commands print how a cache is reached, as flags name them.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use larder_control::Form;

/// A form, as the value of a flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format(pub(crate) Form);

const ALL: [Format; 7] = [
    Format(Form::Env),
    Format(Form::Json),
    Format(Form::Heroku),
    Format(Form::Django),
    Format(Form::Flask),
    Format(Form::Node),
    Format(Form::Rust),
];

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.purpose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_control::Access;

    #[test]
    fn every_form_may_be_asked_for() {
        assert_eq!(ALL.map(|format| format.0), Form::ALL);
    }

    #[test]
    fn the_framework_reads_the_url_that_is_printed() {
        let access = Access {
            servers: vec!["mc1:11211".into(), "[::1]:11212".into()],
            username: "15f38e".into(),
            password: Some("p@ss/:%é".into()),
        };
        let url = access.url().unwrap();
        let vars = |wanted: &str| (wanted == larder::URL_VARIABLE).then(|| url.clone());
        let cache = larder::Cache::from_vars(vars).unwrap();
        assert!(cache.backend().describe().contains("mc1:11211"), "{url}");
    }
}
