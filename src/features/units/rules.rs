//! Which level may stand under which, in each of the two trees.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word, as in requests and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }

            /// The one with this word.
            #[must_use]
            pub fn find(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// What kind of node a unit is; fixed for its life. From the top down: none stands above one named before it.
    Level {
        Nation "nation",
        State "state",
        District "district",
        ParliamentaryConstituency "parliamentary_constituency",
        Mandal "mandal",
        AssemblyConstituency "assembly_constituency",
        ShaktiKendra "shakti_kendra",
        Booth "booth",
    }
}

words! {
    /// One of the two trees that share the booth.
    Tree { Organisation "organisation", Electorate "electorate" }
}

impl Tree {
    /// Its levels, from the top down.
    #[must_use]
    pub const fn levels(self) -> &'static [Level] {
        match self {
            Self::Organisation => &[
                Level::Nation,
                Level::State,
                Level::District,
                Level::Mandal,
                Level::ShaktiKendra,
                Level::Booth,
            ],
            Self::Electorate => &[
                Level::Nation,
                Level::State,
                Level::ParliamentaryConstituency,
                Level::AssemblyConstituency,
                Level::Booth,
            ],
        }
    }

    fn depth(self, level: Level) -> Option<usize> {
        self.levels().iter().position(|known| *known == level)
    }

    /// The field and the column of a unit's parent in this tree: `/parents/organisation`, `organisation_parent`.
    #[must_use]
    pub const fn parent_column(self) -> &'static str {
        match self {
            Self::Organisation => "organisation_parent",
            Self::Electorate => "electorate_parent",
        }
    }
}

/// Whether a unit of this level may stand straight under one of that level. Levels may be missing, their order may not
/// be broken; only states stand straight under the nation, and nothing else holds a state.
#[must_use]
pub fn may_stand_under(tree: Tree, level: Level, parent: Level) -> bool {
    match (tree.depth(level), tree.depth(parent)) {
        (Some(depth), Some(above)) => above < depth && (level == Level::State) == (parent == Level::Nation),
        _ => false,
    }
}

/// Whether a unit of one level can have units of another under it, in either tree.
pub fn may_lie_under(level: Level, above: Level) -> bool {
    Tree::ALL.iter().any(|tree| {
        let place = |of: Level| tree.levels().iter().position(|known| *known == of);
        matches!((place(level), place(above)), (Some(level), Some(above)) if above < level)
    })
}

/// Every (tree, level, parent's level) that may be: the same rule as data, for checks of whole files at once.
#[must_use]
pub fn allowed_places() -> Vec<(Tree, Level, Level)> {
    let mut places = Vec::new();
    for tree in Tree::ALL {
        for level in Level::ALL {
            for parent in Level::ALL {
                if may_stand_under(*tree, *level, *parent) {
                    places.push((*tree, *level, *parent));
                }
            }
        }
    }
    places
}

/// What may hold a unit of this level in this tree, in words for people.
#[must_use]
pub fn expected_parents(tree: Tree, level: Level) -> String {
    let names: Vec<&str> = tree
        .levels()
        .iter()
        .filter(|parent| may_stand_under(tree, level, **parent))
        .map(|parent| parent.as_str())
        .collect();
    if names.is_empty() {
        format!("a {} has no place in the {} tree", level.as_str(), tree.as_str())
    } else {
        format!(
            "a {} stands in the {} tree under: {}",
            level.as_str(),
            tree.as_str(),
            names.join(", ")
        )
    }
}

/// Whether a text can be a unit's code: 1 to 64 letters, digits and `._/-`, the first a letter or digit.
#[must_use]
pub fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_level() -> impl Strategy<Value = Level> {
        proptest::sample::select(Level::ALL)
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        proptest::sample::select(Tree::ALL)
    }

    #[test]
    fn levels_may_be_missing() {
        use Level::*;
        for (tree, level, parent) in [
            (Tree::Organisation, Mandal, State),
            (Tree::Organisation, Booth, Mandal),
            (Tree::Organisation, Booth, ShaktiKendra),
            (Tree::Organisation, Booth, State),
            (Tree::Electorate, Booth, ParliamentaryConstituency),
            (Tree::Electorate, State, Nation),
        ] {
            assert!(may_stand_under(tree, level, parent), "{level:?} under {parent:?}");
        }
    }

    #[test]
    fn the_order_may_not_be_broken_and_trees_not_mixed() {
        use Level::*;
        for (tree, level, parent) in [
            (Tree::Organisation, Mandal, Booth),
            (Tree::Organisation, District, Nation),
            (Tree::Organisation, Booth, AssemblyConstituency),
            (Tree::Electorate, Booth, Mandal),
            (Tree::Electorate, AssemblyConstituency, Nation),
            (Tree::Organisation, Nation, Nation),
        ] {
            assert!(
                !may_stand_under(tree, level, parent),
                "{level:?} under {parent:?}"
            );
        }
    }

    #[test]
    fn a_code_is_plain() {
        for code in ["IN", "S24-AC001-B0001", "U02-D-chandigarh", "7", "a/b.c_d"] {
            assert!(is_code(code), "{code}");
        }
        for code in ["", "-x", "a b", "é", "=1+1", &"x".repeat(65)] {
            assert!(!is_code(code), "{code}");
        }
    }

    proptest! {
        /// So that no cycle can be made and lineages can be derived level by level.
        #[test]
        fn whoever_stands_above_is_named_before(tree in any_tree(), level in any_level(), parent in any_level()) {
            if may_stand_under(tree, level, parent) {
                prop_assert!(parent < level);
                prop_assert!(tree.levels().contains(&level) && tree.levels().contains(&parent));
                prop_assert!(!may_stand_under(tree, parent, level));
            }
        }

        /// Leaving out a level never breaks the order, so long as a state stays between the nation and the rest.
        #[test]
        fn a_level_between_may_be_left_out(tree in any_tree(), a in any_level(), b in any_level(), c in any_level()) {
            if may_stand_under(tree, a, b) && may_stand_under(tree, b, c) && c != Level::Nation {
                prop_assert!(may_stand_under(tree, a, c));
            }
        }

        #[test]
        fn every_chain_upwards_meets_one_state_and_ends_at_the_nation(
            tree in any_tree(), start in any_level(), picks in proptest::collection::vec(any::<usize>(), 8),
        ) {
            let (mut at, mut states) = (start, usize::from(start == Level::State));
            for pick in picks {
                let above: Vec<Level> = Level::ALL.iter().copied().filter(|p| may_stand_under(tree, at, *p)).collect();
                if above.is_empty() {
                    break;
                }
                at = above[pick % above.len()];
                states += usize::from(at == Level::State);
            }
            if tree.levels().contains(&start) {
                prop_assert_eq!(at, Level::Nation);
                prop_assert_eq!(states, usize::from(start != Level::Nation));
            }
        }

        #[test]
        fn the_rule_as_data_is_the_rule(tree in any_tree(), level in any_level(), parent in any_level()) {
            prop_assert_eq!(allowed_places().contains(&(tree, level, parent)), may_stand_under(tree, level, parent));
        }
    }
}
