//! Why a visit was flagged, in the languages of the field: the same as those of the messages with codes.

use crate::features::visits::wire::Flag;

/// What is said of the bound that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtMost,
    AtLeast,
    /// Hours of the day; the bound is the one that was passed.
    Hour,
    /// A plain yes.
    None,
}

/// Every flag with a reason of its own, in the order of the texts.
const CODES: [(&str, Bound); 13] = [
    ("clock_skew", Bound::AtMost),
    ("backdated", Bound::AtMost),
    ("outside_campaign", Bound::None),
    ("no_grant_on_day", Bound::None),
    ("outside_hours", Bound::Hour),
    ("mock_location", Bound::None),
    ("too_short", Bound::AtLeast),
    ("far_from_booth", Bound::AtMost),
    ("repeat_door", Bound::AtLeast),
    ("too_fast", Bound::AtMost),
    ("impossible_travel", Bound::AtMost),
    ("same_spot", Bound::AtMost),
    ("daily_bound", Bound::AtMost),
];

/// A language: what is said of each flag, and of its bound. `{}` is what was measured, or the bound.
struct Texts {
    /// BCP 47 primary subtag.
    language: &'static str,
    flags: [&'static str; 13],
    at_most: &'static str,
    at_least: &'static str,
    hour: &'static str,
    /// Of a flag that is not in the list.
    other: &'static str,
}

/// The first is for whose language is not among them.
const TEXTS: [Texts; 9] = [
    Texts {
        language: "hi",
        flags: [
            "फ़ोन की घड़ी {} सेकंड आगे थी।",
            "भेंट के {} दिन बाद भेजा गया।",
            "फ़ोन की तारीख़ अभियान की अवधि से बाहर है।",
            "उस दिन यह बूथ कार्यकर्ता के पास नहीं था।",
            "भेंट का समय {} था।",
            "फ़ोन के अनुसार स्थान नक़ली है।",
            "भेंट {} सेकंड की थी।",
            "भेंट सही जगह से {} मीटर दूर हुई।",
            "इसी द्वार पर {} दिन के अंतर से फिर भेंट हुई।",
            "थोड़े समय में {} द्वारों पर भेंट।",
            "दो स्थानों के बीच गति {} किमी/घंटा थी।",
            "एक ही जगह से {} द्वार।",
            "यह उस दिन की भेंट संख्या {} थी।",
        ],
        at_most: "अपेक्षित: अधिक से अधिक {}।",
        at_least: "अपेक्षित: कम से कम {}।",
        hour: "सामान्य समय की सीमा: {}।",
        other: "इस भेंट पर संदेह दर्ज हुआ।",
    },
    Texts {
        language: "en",
        flags: [
            "The phone's clock was {} s ahead.",
            "It was uploaded {} days after the visit.",
            "By the phone's clock the day lies outside the campaign.",
            "On that day the booth was not the worker's.",
            "The visit was made at {}.",
            "The phone says that the position was made up.",
            "The contact took {} s.",
            "The visit was made {} m from where it should have been.",
            "The same door was met {} days apart.",
            "There were {} visits at doors within a short time.",
            "Between two positions the speed was {} km/h.",
            "There were {} doors from one point.",
            "It was visit number {} of the day.",
        ],
        at_most: "Expected: at most {}.",
        at_least: "Expected: at least {}.",
        hour: "The usual hours end or begin at {}.",
        other: "The visit was flagged.",
    },
    Texts {
        language: "bn",
        flags: [
            "ফোনের ঘড়ি {} সেকেন্ড এগিয়ে ছিল।",
            "সাক্ষাতের {} দিন পরে পাঠানো হয়েছে।",
            "ফোনের তারিখ অভিযানের সময়ের বাইরে।",
            "সেই দিন এই বুথ কর্মীর দায়িত্বে ছিল না।",
            "সাক্ষাতের সময় ছিল {}।",
            "ফোন জানাচ্ছে যে অবস্থানটি নকল।",
            "সাক্ষাৎ {} সেকেন্ডের ছিল।",
            "সাক্ষাৎ সঠিক জায়গা থেকে {} মিটার দূরে হয়েছে।",
            "একই দরজায় {} দিনের ব্যবধানে আবার সাক্ষাৎ হয়েছে।",
            "অল্প সময়ে {}টি দরজায় সাক্ষাৎ।",
            "দুই অবস্থানের মধ্যে গতি ছিল {} কিমি/ঘণ্টা।",
            "একই জায়গা থেকে {}টি দরজা।",
            "এটি সেই দিনের {} নম্বর সাক্ষাৎ ছিল।",
        ],
        at_most: "প্রত্যাশিত: সর্বাধিক {}।",
        at_least: "প্রত্যাশিত: অন্তত {}।",
        hour: "স্বাভাবিক সময়ের সীমা: {}।",
        other: "এই সাক্ষাৎ নিয়ে সন্দেহ আছে।",
    },
    Texts {
        language: "gu",
        flags: [
            "ફોનની ઘડિયાળ {} સેકન્ડ આગળ હતી.",
            "મુલાકાતના {} દિવસ પછી મોકલાયું.",
            "ફોનની તારીખ અભિયાનના સમયગાળાની બહાર છે.",
            "તે દિવસે આ બૂથ કાર્યકર્તા પાસે ન હતું.",
            "મુલાકાતનો સમય {} હતો.",
            "ફોન કહે છે કે સ્થાન નકલી છે.",
            "મુલાકાત {} સેકન્ડની હતી.",
            "મુલાકાત સાચી જગ્યાથી {} મીટર દૂર થઈ.",
            "એ જ દરવાજે {} દિવસના અંતરે ફરી મુલાકાત થઈ.",
            "થોડા સમયમાં {} દરવાજે મુલાકાત.",
            "બે સ્થાન વચ્ચે ઝડપ {} કિમી/કલાક હતી.",
            "એક જ જગ્યાએથી {} દરવાજા.",
            "તે દિવસની આ મુલાકાત નંબર {} હતી.",
        ],
        at_most: "અપેક્ષિત: વધુમાં વધુ {}.",
        at_least: "અપેક્ષિત: ઓછામાં ઓછું {}.",
        hour: "સામાન્ય સમયની મર્યાદા: {}.",
        other: "આ મુલાકાત પર શંકા નોંધાઈ છે.",
    },
    Texts {
        language: "kn",
        flags: [
            "ಫೋನ್ ಗಡಿಯಾರ {} ಸೆಕೆಂಡು ಮುಂದಿತ್ತು.",
            "ಭೇಟಿಯ {} ದಿನಗಳ ನಂತರ ಕಳುಹಿಸಲಾಗಿದೆ.",
            "ಫೋನ್ ದಿನಾಂಕ ಅಭಿಯಾನದ ಅವಧಿಯ ಹೊರಗಿದೆ.",
            "ಆ ದಿನ ಈ ಬೂತ್ ಕಾರ್ಯಕರ್ತರ ಬಳಿ ಇರಲಿಲ್ಲ.",
            "ಭೇಟಿಯ ಸಮಯ {} ಆಗಿತ್ತು.",
            "ಸ್ಥಳ ನಕಲಿ ಎಂದು ಫೋನ್ ಹೇಳುತ್ತದೆ.",
            "ಭೇಟಿ {} ಸೆಕೆಂಡು ನಡೆಯಿತು.",
            "ಭೇಟಿ ಸರಿಯಾದ ಸ್ಥಳದಿಂದ {} ಮೀಟರ್ ದೂರದಲ್ಲಿ ನಡೆಯಿತು.",
            "ಅದೇ ಬಾಗಿಲಲ್ಲಿ {} ದಿನಗಳ ಅಂತರದಲ್ಲಿ ಮತ್ತೆ ಭೇಟಿ.",
            "ಸ್ವಲ್ಪ ಸಮಯದಲ್ಲಿ {} ಬಾಗಿಲುಗಳಲ್ಲಿ ಭೇಟಿ.",
            "ಎರಡು ಸ್ಥಳಗಳ ನಡುವಿನ ವೇಗ {} ಕಿಮೀ/ಗಂಟೆ.",
            "ಒಂದೇ ಸ್ಥಳದಿಂದ {} ಬಾಗಿಲುಗಳು.",
            "ಇದು ಆ ದಿನದ {} ನೇ ಭೇಟಿ.",
        ],
        at_most: "ನಿರೀಕ್ಷಿತ: ಹೆಚ್ಚೆಂದರೆ {}.",
        at_least: "ನಿರೀಕ್ಷಿತ: ಕನಿಷ್ಠ {}.",
        hour: "ಸಾಮಾನ್ಯ ಸಮಯದ ಮಿತಿ: {}.",
        other: "ಈ ಭೇಟಿಯ ಬಗ್ಗೆ ಸಂದೇಹ ದಾಖಲಾಗಿದೆ.",
    },
    Texts {
        language: "ml",
        flags: [
            "ഫോണിന്റെ ക്ലോക്ക് {} സെക്കൻഡ് മുന്നിലായിരുന്നു.",
            "സന്ദർശനത്തിന് {} ദിവസം കഴിഞ്ഞാണ് അയച്ചത്.",
            "ഫോണിലെ തീയതി പ്രചാരണ കാലയളവിന് പുറത്താണ്.",
            "അന്ന് ഈ ബൂത്ത് പ്രവർത്തകന്റെ ചുമതലയിലായിരുന്നില്ല.",
            "സന്ദർശന സമയം {} ആയിരുന്നു.",
            "സ്ഥാനം വ്യാജമാണെന്ന് ഫോൺ പറയുന്നു.",
            "സന്ദർശനം {} സെക്കൻഡ് നീണ്ടു.",
            "ശരിയായ സ്ഥലത്തുനിന്ന് {} മീറ്റർ അകലെയായിരുന്നു സന്ദർശനം.",
            "ഇതേ വാതിലിൽ {} ദിവസത്തെ ഇടവേളയിൽ വീണ്ടും സന്ദർശനം.",
            "കുറഞ്ഞ സമയത്തിൽ {} വാതിലുകളിൽ സന്ദർശനം.",
            "രണ്ടു സ്ഥാനങ്ങൾക്കിടയിലെ വേഗം മണിക്കൂറിൽ {} കി.മീ.",
            "ഒരേ സ്ഥലത്തുനിന്ന് {} വാതിലുകൾ.",
            "അന്നത്തെ സന്ദർശന നമ്പർ {} ആയിരുന്നു ഇത്.",
        ],
        at_most: "പ്രതീക്ഷിച്ചത്: പരമാവധി {}.",
        at_least: "പ്രതീക്ഷിച്ചത്: കുറഞ്ഞത് {}.",
        hour: "സാധാരണ സമയപരിധി: {}.",
        other: "ഈ സന്ദർശനത്തിൽ സംശയം രേഖപ്പെടുത്തി.",
    },
    Texts {
        language: "mr",
        flags: [
            "फोनचे घड्याळ {} सेकंद पुढे होते.",
            "भेटीनंतर {} दिवसांनी पाठवले.",
            "फोनची तारीख अभियानाच्या कालावधीबाहेर आहे.",
            "त्या दिवशी हे बूथ कार्यकर्त्याकडे नव्हते.",
            "भेटीची वेळ {} होती.",
            "फोननुसार ठिकाण बनावट आहे.",
            "भेट {} सेकंदांची होती.",
            "भेट योग्य ठिकाणापासून {} मीटर दूर झाली.",
            "त्याच दारी {} दिवसांच्या अंतराने पुन्हा भेट झाली.",
            "थोड्या वेळात {} दारी भेट.",
            "दोन ठिकाणांमधील वेग {} किमी/तास होता.",
            "एकाच ठिकाणाहून {} दारे.",
            "ही त्या दिवसाची भेट क्रमांक {} होती.",
        ],
        at_most: "अपेक्षित: जास्तीत जास्त {}.",
        at_least: "अपेक्षित: किमान {}.",
        hour: "नेहमीच्या वेळेची मर्यादा: {}.",
        other: "या भेटीवर शंका नोंदवली आहे.",
    },
    Texts {
        language: "ta",
        flags: [
            "தொலைபேசியின் கடிகாரம் {} நொடி முன்னே இருந்தது.",
            "சந்திப்புக்கு {} நாட்களுக்குப் பின் அனுப்பப்பட்டது.",
            "தொலைபேசியின் தேதி பிரச்சார காலத்திற்கு வெளியே உள்ளது.",
            "அன்று இந்த வாக்குச்சாவடி பணியாளரிடம் இல்லை.",
            "சந்திப்பு நேரம் {}.",
            "இடம் போலியானது எனத் தொலைபேசி கூறுகிறது.",
            "சந்திப்பு {} நொடி நீடித்தது.",
            "சரியான இடத்திலிருந்து {} மீட்டர் தொலைவில் சந்திப்பு நடந்தது.",
            "அதே வாசலில் {} நாள் இடைவெளியில் மீண்டும் சந்திப்பு.",
            "குறுகிய நேரத்தில் {} வாசல்களில் சந்திப்பு.",
            "இரு இடங்களுக்கு இடையே வேகம் மணிக்கு {} கி.மீ.",
            "ஒரே இடத்திலிருந்து {} வாசல்கள்.",
            "இது அன்றைய சந்திப்பு எண் {}.",
        ],
        at_most: "எதிர்பார்ப்பு: அதிகபட்சம் {}.",
        at_least: "எதிர்பார்ப்பு: குறைந்தது {}.",
        hour: "வழக்கமான நேர வரம்பு: {}.",
        other: "இந்தச் சந்திப்பில் ஐயம் பதிவானது.",
    },
    Texts {
        language: "te",
        flags: [
            "ఫోన్ గడియారం {} సెకన్లు ముందుంది.",
            "సందర్శన జరిగిన {} రోజుల తర్వాత పంపబడింది.",
            "ఫోన్ తేదీ ప్రచార కాలానికి వెలుపల ఉంది.",
            "ఆ రోజు ఈ బూత్ కార్యకర్త వద్ద లేదు.",
            "సందర్శన సమయం {}.",
            "స్థానం నకిలీదని ఫోన్ చెబుతోంది.",
            "సందర్శన {} సెకన్లు జరిగింది.",
            "సందర్శన సరైన చోటు నుండి {} మీటర్ల దూరంలో జరిగింది.",
            "అదే తలుపు వద్ద {} రోజుల తేడాతో మళ్ళీ సందర్శన.",
            "కొద్ది సమయంలో {} తలుపుల వద్ద సందర్శన.",
            "రెండు స్థానాల మధ్య వేగం గంటకు {} కి.మీ.",
            "ఒకే చోటు నుండి {} తలుపులు.",
            "ఇది ఆ రోజు సందర్శన సంఖ్య {}.",
        ],
        at_most: "ఆశించినది: గరిష్ఠంగా {}.",
        at_least: "ఆశించినది: కనీసం {}.",
        hour: "సాధారణ సమయ పరిమితి: {}.",
        other: "ఈ సందర్శనపై సందేహం నమోదైంది.",
    },
];

/// The reason in the language of a tag (`ta-IN` is Tamil), or in Hindi where there is no text in it.
pub fn reason(flag: &Flag, tag: &str) -> String {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    let [hindi, ..] = &TEXTS;
    let texts = TEXTS
        .iter()
        .find(|texts| texts.language.eq_ignore_ascii_case(primary))
        .unwrap_or(hindi);
    let known = CODES.iter().zip(texts.flags);
    let Some(((_, bound), text)) = known.clone().find(|((code, _), _)| *code == flag.code) else {
        return texts.other.to_owned();
    };
    let number = |value: Option<f64>| match (value, bound) {
        (None, _) => "?".to_owned(),
        (Some(hours), Bound::Hour) => time_of(hours),
        (Some(value), _) => value.to_string(),
    };
    let measured = text.replace("{}", &number(flag.measured));
    let expected = match bound {
        Bound::AtMost => texts.at_most,
        Bound::AtLeast => texts.at_least,
        Bound::Hour => texts.hour,
        Bound::None => return measured,
    };
    format!("{measured} {}", expected.replace("{}", &number(flag.bound)))
}

/// Hours with two decimals as a time of day.
fn time_of(hours: f64) -> String {
    format!("{:02.0}:{:02.0}", hours.trunc(), (hours.fract() * 60.0).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(code: &str, measured: Option<f64>, bound: Option<f64>) -> Flag {
        Flag {
            code: code.to_owned(),
            measured,
            bound,
        }
    }

    #[test]
    fn every_language_says_of_every_flag_what_was_measured_and_what_was_expected() {
        for texts in &TEXTS {
            for (code, bound) in CODES {
                let plain = bound == Bound::None;
                let value = |number| (!plain).then_some(number);
                let text = reason(&flag(code, value(21.5), value(7.0)), texts.language);
                assert!(!text.contains(['{', '}', '?']), "{text}");
                let (measured, expected) = match bound {
                    Bound::Hour => ("21:30", "07:00"),
                    _ => ("21.5", "7"),
                };
                assert_eq!(text.contains(measured), !plain, "{} {code}", texts.language);
                assert_eq!(text.contains(expected), !plain, "{} {code}", texts.language);
            }
        }
    }

    #[test]
    fn a_reason_is_in_the_language_of_its_reader_and_else_in_hindi() {
        let short = flag("too_short", Some(9.0), Some(15.0));
        assert_eq!(
            reason(&short, "en-IN"),
            "The contact took 9 s. Expected: at least 15."
        );
        assert_eq!(reason(&short, "HI"), "भेंट 9 सेकंड की थी। अपेक्षित: कम से कम 15।");
        assert_eq!(reason(&short, "fr"), reason(&short, "hi"));
        assert_ne!(reason(&short, "mr"), reason(&short, "hi"));
        assert_eq!(
            reason(&flag("of_tomorrow", None, None), "en"),
            "The visit was flagged."
        );
    }

    #[test]
    fn every_minute_of_the_day_reads_back() {
        for minute in 0..24 * 60 {
            // As `flags::of_visit` writes it.
            let hours = (f64::from(minute) / 60.0 * 100.0).round() / 100.0;
            assert_eq!(time_of(hours), format!("{:02}:{:02}", minute / 60, minute % 60));
        }
    }
}
