//! The variables that the program reads, out of its one table of settings (app/src/settings.rs).

#[derive(Debug, Default)]
pub struct Settings {
    /// (variable, is a secret)
    variables: Vec<(String, bool)>,
}

impl Settings {
    /// Each string in capitals is a variable; a secret one stands in a `Setting {` of its own.
    pub fn read(source: &str) -> Settings {
        let table = source.split_once("pub const SETTINGS").map_or("", |(_, table)| table);
        let mut variables = Vec::new();
        for entry in table.replace("Setting {", "setting(").split("setting(").skip(1) {
            let variable = entry.split('"').skip(1).step_by(2).find(|word| is_variable(word));
            variables.extend(variable.map(|name| (name.to_string(), entry.contains("secret: true"))));
        }
        Settings { variables }
    }

    /// `NAME`, or `NAME_FILE` where it is a secret.
    pub fn knows(&self, name: &str) -> bool {
        let base = name.strip_suffix("_FILE");
        self.variables
            .iter()
            .any(|(variable, secret)| variable == name || (*secret && base == Some(variable.as_str())))
    }

    pub fn is_secret(&self, name: &str) -> bool {
        self.variables.iter().any(|(variable, secret)| variable == name && *secret)
    }

    /// Variables with these prefixes belong to the program, so it must know them.
    pub fn claims(name: &str) -> bool {
        name.starts_with("STREAMIFY_")
            || name.starts_with("DATABASE_URL")
            || name == "KAFKA_BOOTSTRAP_SERVERS"
    }
}

fn is_variable(word: &str) -> bool {
    word.contains('_')
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
pub struct Setting { pub name: &'static str }
const fn setting(name: &'static str) -> Setting { Setting { name } }
pub const SETTINGS: &[Setting] = &[
    setting("port", "STREAMIFY_PORT", "8080", "port"),
    Setting {
        name: "database_url",
        variable: "DATABASE_URL",
        default: "",
        about: "Postgres",
        secret: true,
    },
    setting("host", "STREAMIFY_HOST", "127.0.0.1", "address"),
];"#;

    #[test]
    fn variables_are_found_and_only_secrets_may_lie_in_files() {
        let settings = Settings::read(SOURCE);
        for name in ["STREAMIFY_PORT", "STREAMIFY_HOST", "DATABASE_URL", "DATABASE_URL_FILE"] {
            assert!(settings.knows(name), "{name}");
        }
        assert!(!settings.knows("STREAMIFY_PORT_FILE") && !settings.knows("STREAMIFY_PROT"));
        assert!(settings.is_secret("DATABASE_URL") && !settings.is_secret("STREAMIFY_HOST"));
    }
}
