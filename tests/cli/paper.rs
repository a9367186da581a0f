//! `redis-hive completions` and `redis-hive man`, read by the programs they are for.

use std::process::{Command as Program, Output, Stdio};

use super::*;

/// Runs a program on this input.
fn run(program: &str, args: &[&str], input: &str) -> std::io::Result<Output> {
    use std::io::Write as _;
    let mut child = Program::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    child.wait_with_output()
}

#[tokio::test]
async fn bash_completes_commands_and_flags() {
    let ran = hive(&["completions", "bash"], &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    // What a terminal would ask after `redis-hive st` and `redis-hive status --w`.
    let ask = "words=($(complete -p redis-hive)); complete=${words[-2]}
        COMP_WORDS=(redis-hive st) COMP_CWORD=1; $complete redis-hive st redis-hive
        echo \"${COMPREPLY[@]}\"
        COMP_WORDS=(redis-hive status --w) COMP_CWORD=2; $complete redis-hive --w status
        echo \"${COMPREPLY[@]}\"";
    let bash = run("bash", &["--noprofile", "--norc"], &format!("{}\n{ask}", ran.out));
    let bash = bash.expect("bash is needed (apt-get install bash)");
    let told = String::from_utf8_lossy(&bash.stdout);
    assert_eq!((told.as_ref(), bash.stderr.as_slice()), ("status\n--watch\n", &b""[..]));
}

#[tokio::test]
async fn every_shell_gets_a_script_and_no_other() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = hive(&["completions", shell], &[]).await;
        let whole = ["switchover", "secret-file", "completions"];
        assert!(ran.code == Some(0) && whole.iter().all(|it| ran.out.contains(it)), "{shell}");
    }
    assert_eq!(hive(&["completions", "tcsh"], &[]).await.code, Some(64));
}

#[tokio::test]
async fn a_page_is_roff_without_a_fault() {
    for args in [&["man"][..], &["man", "run"], &["man", "status"]] {
        let ran = hive(args, &[]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        match run("groff", &["-man", "-ww", "-Tascii", "-P-cbou"], &ran.out) {
            Ok(read) => {
                let (page, faults) = (String::from_utf8_lossy(&read.stdout), read.stderr);
                assert!(faults.is_empty(), "{}", String::from_utf8_lossy(&faults));
                for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES"] {
                    assert!(page.contains(&format!("\n{section}\n")), "{args:?}: {page}");
                }
            }
            Err(error) => eprintln!("NOT CHECKED: {args:?} was not read by groff: {error}"),
        }
    }
    let ran = hive(&["man", "nonsense"], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""));
    assert!(ran.err.contains("redis-hive --help"), "{}", ran.err);
}
