"""What the sample learners learn, type and say: lessons, questions, searches and comments.

Everything is invented; the wording is what one meets in Indian state curricula, in nine languages.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Language(NamedTuple):
    """What people of one medium of instruction read and write.

    `lessons` are (title, subject), `questions` are (text, options; the first one is right).
    """

    name: str
    lessons: tuple[tuple[str, str], ...]
    questions: tuple[tuple[str, tuple[str, str, str]], ...]
    searches: tuple[str, ...]
    comments: tuple[str, ...]


ENGLISH: Final = Language(
    "English",
    (
        ("Fractions in daily life", "Mathematics"),
        ("Parts of a plant", "Environmental Studies"),
        ("The water cycle", "Science"),
        ("Reading a map of your district", "Social Science"),
        ("Electric circuits with a torch cell", "Science"),
        ("Letter to the editor", "English"),
    ),
    (
        ("Which fraction is the largest?", ("3/4", "2/3", "1/2")),
        ("Which part of a plant makes food?", ("The leaf", "The root", "The stem")),
        ("What closes an electric circuit?", ("A switch", "A paper clip box", "A piece of glass")),
    ),
    ("class 5 maths", "water cycle video", "science quiz", "english grammar tenses", "NCERT class 8 history"),
    (
        "Very helpful for my class",
        "Video stops after two minutes on 2G",
        "Please add more questions",
        "My students loved the experiment 👍",
    ),
)
HINDI: Final = Language(
    "Hindi",
    (
        ("भिन्नों का जोड़ और घटाव", "गणित"),
        ("पौधे के भाग", "पर्यावरण अध्ययन"),
        ("जल चक्र", "विज्ञान"),
        ("हमारा संविधान", "सामाजिक विज्ञान"),
        ("संज्ञा और उसके भेद", "हिन्दी"),
    ),
    (
        ("पौधे का कौन सा भाग भोजन बनाता है?", ("पत्ती", "जड़", "तना")),
        ("भारत की राजधानी कौन सी है?", ("नई दिल्ली", "मुंबई", "कोलकाता")),
        ("इनमें से सम संख्या कौन सी है?", ("४८", "३७", "५१")),
    ),
    ("कक्षा 5 गणित", "जल चक्र वीडियो", "हिन्दी व्याकरण", "पहाड़े 2 से 20", "विज्ञान प्रश्नोत्तरी"),
    ("बच्चों को बहुत पसंद आया", "आवाज़ साफ़ नहीं है", "और अभ्यास प्रश्न जोड़िए", "धन्यवाद, बहुत उपयोगी 🙏"),
)
TAMIL: Final = Language(
    "Tamil",
    (
        ("பின்னங்களின் கூட்டல்", "கணிதம்"),
        ("நீர் சுழற்சி", "அறிவியல்"),
        ("தாவரத்தின் பாகங்கள்", "சூழ்நிலையியல்"),
        ("திருக்குறள்: அன்புடைமை", "தமிழ்"),
    ),
    (
        ("எது மிகப்பெரிய பின்னம்?", ("3/4", "2/3", "1/2")),
        ("தமிழ்நாட்டின் தலைநகரம் எது?", ("சென்னை", "மதுரை", "கோயம்புத்தூர்")),
    ),
    ("ஐந்தாம் வகுப்பு கணிதம்", "நீர் சுழற்சி", "தமிழ் இலக்கணம்", "அறிவியல் வினாடி வினா"),
    ("மிகவும் பயனுள்ளதாக இருந்தது", "ஒலி தெளிவாக இல்லை", "இன்னும் பயிற்சிகள் வேண்டும்"),
)
TELUGU: Final = Language(
    "Telugu",
    (
        ("భిన్నాల కూడిక", "గణితం"),
        ("నీటి చక్రం", "సామాన్య శాస్త్రం"),
        ("మన రాష్ట్రం", "సాంఘిక శాస్త్రం"),
        ("అక్షరమాల పాట", "తెలుగు"),
    ),
    (
        ("మొక్కలో ఆహారం తయారు చేసే భాగం ఏది?", ("ఆకు", "వేరు", "కాండం")),
        ("వీటిలో సరి సంఖ్య ఏది?", ("24", "17", "35")),
    ),
    ("ఐదవ తరగతి గణితం", "నీటి చక్రం", "తెలుగు కథలు"),
    ("చాలా బాగుంది", "వీడియో ఆగిపోతోంది", "ఇంకా ప్రశ్నలు కావాలి"),
)
KANNADA: Final = Language(
    "Kannada",
    (
        ("ಭಿನ್ನರಾಶಿಗಳ ಸಂಕಲನ", "ಗಣಿತ"),
        ("ಜಲಚಕ್ರ", "ವಿಜ್ಞಾನ"),
        ("ನಮ್ಮ ಕರ್ನಾಟಕ", "ಸಮಾಜ ವಿಜ್ಞಾನ"),
    ),
    (
        ("ಕರ್ನಾಟಕದ ರಾಜಧಾನಿ ಯಾವುದು?", ("ಬೆಂಗಳೂರು", "ಮೈಸೂರು", "ಹುಬ್ಬಳ್ಳಿ")),
        ("ಅತಿ ದೊಡ್ಡ ಸಂಖ್ಯೆ ಯಾವುದು?", ("912", "291", "129")),
    ),
    ("ಐದನೇ ತರಗತಿ ಗಣಿತ", "ಜಲಚಕ್ರ", "ಕನ್ನಡ ವ್ಯಾಕರಣ"),
    ("ತುಂಬಾ ಉಪಯುಕ್ತವಾಗಿದೆ", "ಧ್ವನಿ ಸ್ಪಷ್ಟವಾಗಿಲ್ಲ"),
)
BENGALI: Final = Language(
    "Bengali",
    (
        ("ভগ্নাংশের যোগ", "গণিত"),
        ("জলচক্র", "বিজ্ঞান"),
        ("আমাদের পরিবেশ", "পরিবেশ"),
    ),
    (
        ("উদ্ভিদের কোন অংশ খাদ্য তৈরি করে?", ("পাতা", "মূল", "কাণ্ড")),
        ("কোনটি জোড় সংখ্যা?", ("৪৮", "৩৭", "৫১")),
    ),
    ("পঞ্চম শ্রেণি গণিত", "জলচক্র", "বাংলা ব্যাকরণ"),
    ("খুব ভালো লেগেছে", "আরও প্রশ্ন দরকার"),
)
MARATHI: Final = Language(
    "Marathi",
    (("अपूर्णांकांची बेरीज", "गणित"), ("जलचक्र", "विज्ञान"), ("शिवरायांचे बालपण", "इतिहास")),
    (
        ("महाराष्ट्राची राजधानी कोणती?", ("मुंबई", "पुणे", "नागपूर")),
        ("सर्वात मोठी संख्या कोणती?", ("९१२", "२९१", "१२९")),
    ),
    ("पाचवी गणित", "बालभारती कविता", "जलचक्र"),
    ("खूप छान आहे", "आवाज कमी येतो"),
)
GUJARATI: Final = Language(
    "Gujarati",
    (("અપૂર્ણાંકનો સરવાળો", "ગણિત"), ("જળચક્ર", "વિજ્ઞાન")),
    (("વનસ્પતિનો કયો ભાગ ખોરાક બનાવે છે?", ("પાંદડું", "મૂળ", "થડ")),),
    ("ધોરણ 5 ગણિત", "જળચક્ર"),
    ("ખૂબ સરસ", "વધુ પ્રશ્નો ઉમેરો"),
)
MALAYALAM: Final = Language(
    "Malayalam",
    (("ഭിന്നസംഖ്യകളുടെ സങ്കലനം", "ഗണിതം"), ("ജലചക്രം", "ശാസ്ത്രം")),
    (("കേരളത്തിന്റെ തലസ്ഥാനം ഏത്?", ("തിരുവനന്തപുരം", "കൊച്ചി", "കോഴിക്കോട്")),),
    ("അഞ്ചാം ക്ലാസ് ഗണിതം", "ജലചക്രം"),
    ("വളരെ നല്ലത്", "ശബ്ദം കുറവാണ്"),
)


class Tenant(NamedTuple):
    """One organisation: its channel, its product's name, its media of instruction and districts."""

    channel: str
    product: str
    languages: tuple[Language, ...]
    districts: tuple[str, ...]


TENANTS: Final = (
    Tenant("0137541295034613760", "prod.pathshala", (HINDI, ENGLISH), ("Nagaur, Rajasthan",)),
    Tenant("0138120467719208960", "prod.kalvi", (TAMIL, ENGLISH), ("Madurai, Tamil Nadu",)),
    Tenant("0139004418230026240", "prod.vidya", (TELUGU, KANNADA, ENGLISH), ("Guntur, Andhra Pradesh",)),
    Tenant("pathabhavan-wb", "prod.pathabhavan", (BENGALI, ENGLISH), ("Nadia, West Bengal",)),
    Tenant(
        "0136287750134497280",
        "staging.shala",
        (MARATHI, GUJARATI, MALAYALAM),
        ("Nashik, Maharashtra", "Rajkot, Gujarat", "Thrissur, Kerala"),
    ),
)

PHONES: Final = (
    ("Redmi Note 12", "Android 14", "arm64-v8a Snapdragon 685", 3841.5, 108.2),
    ("SM-A057F", "Android 13", "arm64-v8a Helio G85", 3710.0, 49.6),
    ("moto g54", "Android 14", "arm64-v8a Dimensity 7020", 7682.4, 221.0),
    ("Lava Blaze 2", "Android 12", "armeabi-v7a Unisoc T616", 1893.7, 24.3),
    ("realme C53", "Android 13", "arm64-v8a Unisoc T612", 3799.1, 101.9),
    ("iPhone SE", "iOS 18.1", "arm64 A15", 3720.0, 58.7),
)
"""Model, operating system, processor, memory in MB, disk in GB."""

BROWSERS: Final = (
    ("Chrome", "131.0", "Windows 10", "Blink"),
    ("Firefox", "133.0", "Ubuntu", "Gecko"),
    ("Edge", "131.0", "Windows 11", "Blink"),
    ("Safari", "18.1", "macOS", "WebKit"),
)
"""Agent, version, system, engine."""
