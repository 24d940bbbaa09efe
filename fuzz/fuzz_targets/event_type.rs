//! Event types: what parses prints as it was, what folders spell becomes a type, and nothing panics.

#![no_main]

use arbitrary::Arbitrary;
use atlas::EventType;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    folders: [&'a str; 5],
}

fuzz_target!(|input: Input<'_>| {
    if let Ok(event_type) = input.text.parse::<EventType>() {
        assert_eq!(event_type.as_str(), input.text);
        assert_eq!(event_type.parts().join("_"), input.text);
        assert_eq!(event_type.type_version().to_string(), event_type.parts()[4]);
    }
    if let Ok(event_type) = EventType::from_folder_parts(input.folders) {
        assert_eq!(event_type.as_str().parse::<EventType>(), Ok(event_type.clone()));
        assert_eq!(EventType::from_folder_parts(event_type.parts()), Ok(event_type));
    }
});
