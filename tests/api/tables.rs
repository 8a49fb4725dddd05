//! The tables in docs/ that are written from the program.

use sampark::access::Role;

use crate::openapi::compare;

#[test]
fn written_table_of_settings_is_what_the_program_reads() {
    let mut text = String::from(
        "# Configuration\n\nRead from the environment at start; a bad value is named and the program does not start.\n\n\
         | variable | default | what it is |\n|---|---|---|\n",
    );
    for variable in sampark::platform::config::VARIABLES {
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            variable.name, variable.default, variable.about
        ));
    }
    compare("docs/configuration.md", &text);
}

#[test]
fn written_table_of_roles_is_what_the_program_grants() {
    use sampark::access::actions::ActionName;
    use sampark::access::fields::{FromAfar, PrivateField};
    let roles = Role::EVERY;
    let mut text = String::from(
        "# Roles\n\nA role is a set of actions. A grant is a worker, a role, a unit and a span of days; it reaches the unit and all below it\nin either tree.\n\n| action |",
    );
    for role in roles {
        text.push_str(&format!(" {} |", role.as_str()));
    }
    text.push_str(&format!("\n|---|{}\n", ":-:|".repeat(roles.len())));
    for action in ActionName::ALL {
        text.push_str(&format!("| `{}` |", action.as_str()));
        for role in roles {
            text.push_str(if role.may(*action) { " yes |" } else { " |" });
        }
        text.push('\n');
    }
    text.push_str(
        "\n## Fields\n\nWhat not everyone sees who sees the thing: whole for its author and by these roles over the place; for anyone else as the\n\
         last column says.\n\n| field |",
    );
    for role in roles {
        text.push_str(&format!(" {} |", role.as_str()));
    }
    text.push_str(&format!(" else |\n|---|{}---|\n", ":-:|".repeat(roles.len())));
    for (field, name, afar) in PrivateField::all() {
        text.push_str(&format!("| {name} |"));
        for role in roles {
            text.push_str(if field.is_shown_to(*role) { " yes |" } else { " |" });
        }
        text.push_str(match afar {
            FromAfar::Nothing => " left out |\n",
            FromAfar::Coarse => " to three decimals |\n",
        });
    }
    compare("docs/roles.md", &text);
}
