//! Made-up names in Latin and Devanagari script. No place of this name is meant.

/// A name in both scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub latin: String,
    pub devanagari: String,
}

const BEGINNINGS: [(&str, &str); 20] = [
    ("Sundar", "सुंदर"),
    ("Nav", "नव"),
    ("Chandan", "चंदन"),
    ("Neel", "नील"),
    ("Suraj", "सूरज"),
    ("Chand", "चाँद"),
    ("Megh", "मेघ"),
    ("Amrit", "अमृत"),
    ("Kamal", "कमल"),
    ("Mor", "मोर"),
    ("Jheel", "झील"),
    ("Parvat", "पर्वत"),
    ("Van", "वन"),
    ("Nadi", "नदी"),
    ("Sona", "सोना"),
    ("Tara", "तारा"),
    ("Phool", "फूल"),
    ("Haldi", "हल्दी"),
    ("Kesar", "केसर"),
    ("Basant", "बसंत"),
];

const ENDINGS: [(&str, &str); 7] = [
    ("pur", "पुर"),
    ("nagar", "नगर"),
    ("gaon", "गाँव"),
    ("ganj", "गंज"),
    ("garh", "गढ़"),
    ("khera", "खेड़ा"),
    ("tola", "टोला"),
];

const GIVEN: [&str; 12] = [
    "Asha", "Ravi", "Meena", "Suresh", "Kavita", "Anil", "Sunita", "Rakesh", "Geeta", "Mohan", "Pooja",
    "Vijay",
];
const SECOND: [&str; 5] = ["Kumar", "Devi", "Kumari", "Lal", "Bai"];

/// The n-th place; the first 140 differ.
pub fn place(n: usize) -> Name {
    // 20 and 7 have no common divisor, so stepping through both meets every pair.
    let (begin, begin_local) = BEGINNINGS.get(n % BEGINNINGS.len()).copied().unwrap_or_default();
    let (end, end_local) = ENDINGS.get(n % ENDINGS.len()).copied().unwrap_or_default();
    Name {
        latin: format!("{begin}{end}"),
        devanagari: format!("{begin_local}{end_local}"),
    }
}

/// The n-th booth of a place: a school's room.
pub fn booth(place: &Name, n: usize) -> Name {
    Name {
        latin: format!("Primary School, {}, Room {}", place.latin, n + 1),
        devanagari: format!("प्राथमिक विद्यालय, {}, कक्ष {}", place.devanagari, n + 1),
    }
}

/// The n-th person; the first 60 differ.
pub fn person(n: usize) -> String {
    let given = GIVEN.get(n % GIVEN.len()).copied().unwrap_or_default();
    let second = SECOND.get(n % SECOND.len()).copied().unwrap_or_default();
    format!("{given} {second}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_differ() {
        let places: BTreeSet<String> = (0..140).map(|n| super::place(n).latin).collect();
        let people: BTreeSet<String> = (0..60).map(super::person).collect();
        assert_eq!((places.len(), people.len()), (140, 60));
    }
}
