//! Wrong usage ends with 2; help teaches and ends with 0.

use crate::sandbox::{Sandbox, snapshot};

#[test]
fn wrong_usage_ends_with_2_and_touches_nothing() {
    let sandbox = Sandbox::new();
    let arguments: [&[&str]; 15] = [
        &[],
        &["imprt"],
        &["import"],
        &["import", "a", "b"],
        &["import", "-", "--ack-every", "0"],
        &["import", "-", "--segment-size", "8MB"],
        &["stream", "bank", "loan-1"],
        &["state", "bank/loans", "loan-1", "--occurred"],
        &["state", "bank/loans", "loan-1", "--at", "3", "--occurred"],
        &["state", "bank/loans", "loan-1", "--at", "yesterday"],
        &["get", "not-an-id"],
        &["queue", "take", "mail"],
        &["queue", "take", "mail", "--scope", "bank/loans", "--max", "0"],
        &["queue", "take", "mail", "--scope", "bank/loans", "--lease", "0s"],
        &["export", "--format", "xml"],
    ];
    for arguments in arguments {
        let run = sandbox.atlas(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    assert!(snapshot(sandbox.path("").as_path()).is_empty());
}

#[test]
fn every_command_explains_itself() {
    let sandbox = Sandbox::new();
    let help = sandbox.atlas(["--help"]).done().stdout;
    for command in [
        "import",
        "export",
        "streams",
        "stream",
        "state",
        "get",
        "status",
        "cascade",
        "types",
        "queue",
        "config",
        "explain",
        "deliveries",
        "release",
        "drop",
        "stats",
        "verify",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {help}");
        let own = sandbox.atlas([command, "--help"]).done().stdout;
        assert!(own.contains(&format!("Usage: atlas {command}")), "{own}");
        assert!(own.contains("--dir <DIR>") && own.contains("--json"), "{own}");
    }
    let groups: [(&str, &[&str]); 3] = [
        ("types", &["declare", "list", "retire"]),
        ("queue", &["list", "peek", "take", "ack"]),
        ("config", &["init", "import", "check", "show", "activate", "history"]),
    ];
    for (group, commands) in groups {
        for command in commands {
            let own = sandbox.atlas([group, command, "--help"]).done().stdout;
            assert!(own.contains(&format!("Usage: atlas {group} {command}")), "{own}");
        }
    }
    assert!(sandbox.atlas(["--version"]).done().stdout.starts_with("atlas "));
    assert!(snapshot(sandbox.path("").as_path()).is_empty());
}
