//! What the message with a code says, in the languages of the field.

/// One language: its BCP 47 primary subtag and its text, in which `{code}` and `{minutes}` are replaced.
const TEXTS: [(&str, &str); 9] = [
    (
        "hi",
        "{code} सम्पर्क में प्रवेश का आपका कोड है। यह {minutes} मिनट तक चलेगा। इसे किसी को न बताएँ।",
    ),
    (
        "en",
        "{code} is your code for signing in to Sampark. It works for {minutes} minutes. Tell it to nobody.",
    ),
    (
        "bn",
        "{code} হল সম্পর্ক-এ প্রবেশের জন্য আপনার কোড। এটি {minutes} মিনিট চলবে। কাউকে বলবেন না।",
    ),
    (
        "gu",
        "{code} એ સંપર્કમાં પ્રવેશ માટેનો તમારો કોડ છે. તે {minutes} મિનિટ ચાલશે. કોઈને કહેશો નહીં.",
    ),
    (
        "kn",
        "{code} ಇದು ಸಂಪರ್ಕಕ್ಕೆ ಪ್ರವೇಶಿಸಲು ನಿಮ್ಮ ಕೋಡ್. ಇದು {minutes} ನಿಮಿಷ ಕೆಲಸ ಮಾಡುತ್ತದೆ. ಯಾರಿಗೂ ಹೇಳಬೇಡಿ.",
    ),
    (
        "ml",
        "{code} സമ്പർക്കിൽ പ്രവേശിക്കാനുള്ള നിങ്ങളുടെ കോഡാണ്. ഇത് {minutes} മിനിറ്റ് പ്രവർത്തിക്കും. ആരോടും പറയരുത്.",
    ),
    (
        "mr",
        "{code} हा संपर्कमध्ये प्रवेश करण्याचा तुमचा कोड आहे. तो {minutes} मिनिटे चालेल. तो कोणालाही सांगू नका.",
    ),
    (
        "ta",
        "{code} என்பது சம்பர்க்கில் நுழைவதற்கான உங்கள் குறியீடு. இது {minutes} நிமிடங்கள் செயல்படும். யாரிடமும் சொல்ல வேண்டாம்.",
    ),
    (
        "te",
        "{code} సంపర్క్‌లో ప్రవేశించడానికి మీ కోడ్. ఇది {minutes} నిమిషాలు పనిచేస్తుంది. ఎవరికీ చెప్పవద్దు.",
    ),
];

/// The language of the message for a worker whose language is this: his own, else Hindi.
pub fn language_for(tag: &str) -> &'static str {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    TEXTS
        .iter()
        .map(|(language, _)| *language)
        .find(|language| language.eq_ignore_ascii_case(primary))
        .unwrap_or("hi")
}

/// The message.
pub fn text_of(tag: &str, code: &str, minutes: i64) -> String {
    let language = language_for(tag);
    let text = TEXTS
        .iter()
        .find(|(known, _)| *known == language)
        .map_or("{code}", |(_, text)| *text);
    text.replace("{code}", code)
        .replace("{minutes}", &minutes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_the_code_and_for_how_long() {
        for (language, _) in TEXTS {
            let text = text_of(language, "123456", 5);
            assert!(
                text.contains("123456") && text.contains('5') && !text.contains('{'),
                "{text}"
            );
            // One message of the concatenated kind: 3 x 67 characters of UCS-2.
            assert!(text.encode_utf16().count() <= 201, "{language}");
        }
        assert!(TEXTS.len() >= 8);
    }

    #[test]
    fn a_regional_tag_is_its_language_and_an_unknown_one_is_hindi() {
        assert_eq!(language_for("ta-IN"), "ta");
        assert_eq!(language_for("EN"), "en");
        for unknown in ["fr", "", "x"] {
            assert_eq!(language_for(unknown), "hi");
        }
    }
}
