#!/usr/bin/env python3
"""Changes the source in one small way at a time and tells which changes no test notices.

cargo-mutants names the changes; building and testing each of them anew takes a minute and more, some hundreds take a day.
Here all are built at once: every function gets a `match` whose arms are its changed bodies, and the environment says which
arm is taken (`MUTANT`, of a copy of the sources; the sources themselves stay as they are). A change that does not compile is
left out. Then the unit tests, and after them those modules of tests/api that come by the changed function at all, run until
the first failure.

    ./dev mutants src/access/policy.rs src/access/roles.rs
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SWITCH = '''//! Which change is in force.
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ACTIVE: OnceLock<u32> = OnceLock::new();
static SEEN: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];

/// The number of the change, and a note that this function was come by.
pub fn of(function: usize) -> u32 {
    if !SEEN[function].swap(true, Ordering::Relaxed)
        && let Ok(path) = std::env::var("MUTANT_REACH")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = file.write_all(format!("{function}\\n").as_bytes());
    }
    *ACTIVE.get_or_init(|| std::env::var("MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0))
}
'''


def body_of(text, start, end, name):
    """Where the body of the function lies that stands here."""
    found = re.compile(r'\bfn\s+' + re.escape(name) + r'\b').search(text, start, end)
    at, depth = found.end(), 0
    while text[at] != '{' or depth:
        depth += (text[at] in '([') - (text[at] in ')]')
        at += 1
    return at + 1, end - 1


def grow(copy, mutants, dropped):
    """Writes every change into the copy as an arm; which lines each arm has."""
    by_file = collections.defaultdict(lambda: collections.defaultdict(list))
    for mutant in mutants:
        if mutant['id'] not in dropped:
            span = mutant['function']['span']
            key = tuple(span[side][what] for side in ('start', 'end') for what in ('line', 'column'))
            by_file[mutant['file']][key].append(mutant)
    arms, function = [], 0
    for file, functions in by_file.items():
        text = open(file).read()
        lines = [0]
        for line in text.split('\n'):
            lines.append(lines[-1] + len(line) + 1)
        offset = lambda place: lines[place['line'] - 1] + place['column'] - 1
        result, done, marks = '', 0, []
        for key, changes in sorted(functions.items()):
            span = changes[0]['function']['span']
            start, end = offset(span['start']), offset(span['end'])
            name = re.sub(r'<.*', '', changes[0]['function']['function_name'].split('::')[-1])
            first, last = body_of(text, start, end, name)
            body, function = text[first:last], function + 1
            # What reads the switch is no constant function any more.
            head = re.sub(r'\bconst (?=(?:async |unsafe )?fn\b)', '', text[start:first])
            result += text[done:start] + head + f' match crate::mutant::of({function}) {{\n'
            for change in changes:
                change['function_id'] = function
                inner = change['replacement']
                if change['genre'] != 'FnValue':
                    a, b = offset(change['span']['start']) - first, offset(change['span']['end']) - first
                    inner = body[:a] + inner + ' ' + body[b:]
                begins = len(result)
                result += f'{change["id"]} => {{ {inner} }}\n'
                marks.append((begins, len(result) - 2, change['id']))
            result += f'_ => {{ {body} }} }} '
            done = last
        result += text[done:]
        open(os.path.join(copy, file), 'w').write(result)
        line = lambda at: result.count('\n', 0, at) + 1
        arms += [(file, line(a), line(b), number) for a, b, number in marks]
    open(os.path.join(copy, 'src/mutant.rs'), 'w').write(SWITCH)
    root = open('src/lib.rs').read()
    root = re.sub(r'(?m)^(pub mod |mod )', r'pub mod mutant;\n\1', root, count=1)
    open(os.path.join(copy, 'src/lib.rs'), 'w').write(root)
    return arms


def settle(copy, mutants):
    """Leaves out what does not compile; the numbers of those."""
    dropped = set()
    while True:
        arms = grow(copy, mutants, dropped)
        check = subprocess.run(['cargo', 'check', '--locked', '--lib', '--message-format=json'], cwd=copy,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if check.returncode == 0:
            return dropped
        bad, other = set(), []
        for line in check.stdout.splitlines():
            message = json.loads(line).get('message')
            if not isinstance(message, dict) or message.get('level') != 'error':
                continue
            hit = {number for span in message['spans'] for file, a, b, number in arms
                   if span['file_name'] == file and a <= span['line_start'] and span['line_end'] <= b}
            bad |= hit
            other += [] if hit else [message['rendered']]
        if not bad:
            sys.exit('\n'.join(other[:5]))
        dropped |= bad


def run(program, copy, scratch, mutant, filters, limit, reach=None):
    """The first test that fails, or how it ended otherwise; `None` if all pass."""
    os.makedirs(scratch, exist_ok=True)
    # Its own each time: what was killed may write a moment longer.
    scratch = tempfile.mkdtemp(dir=scratch)
    os.chmod(scratch, 0o777)
    env = dict(os.environ, MUTANT=str(mutant), TMPDIR=scratch, RUST_BACKTRACE='0')
    if reach:
        env['MUTANT_REACH'] = reach
    tests = subprocess.Popen([program, *filters], cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True, errors='replace', start_new_session=True)
    failed = []

    def read():
        for line in tests.stdout:
            if line.startswith('test ') and line.rstrip().endswith('FAILED'):
                failed.append(line.split()[1])
                return

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(limit)
    ended = 'no end' if reader.is_alive() else failed[0] if failed else None
    if ended is None and tests.wait() != 0:
        ended = f'exit {tests.returncode}'
    try:
        os.killpg(tests.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    # The private PostgreSQL has a group of its own.
    subprocess.run(['pkill', '-9', '-f', scratch + '/'])
    tests.wait()
    shutil.rmtree(scratch, ignore_errors=True)
    return ended


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument('files', nargs='+')
    arguments.add_argument('--modules', default='sight,foreign_ids,refusals,services,sessions,handover,workers,limits,wall,'
                           'rotation,revocation,scopes,sign_in,tokens,access_matrix', help='of tests/api, in this order')
    arguments.add_argument('--only', type=int, nargs='*', help='numbers of changes')
    arguments.add_argument('--jobs', type=int, default=1, help='changes tried at once')
    asked = arguments.parse_args()
    work = os.path.abspath('target/mutants')
    copy, scratch, results = f'{work}/copy', f'{work}/scratch', f'{work}/results.jsonl'
    os.makedirs(copy, exist_ok=True)
    os.environ.setdefault('CARGO_PROFILE_DEV_DEBUG', 'none')
    files = [part for file in asked.files for part in ('-f', file)]
    listed = subprocess.check_output(['cargo', 'mutants', '--list', '--json', *files], text=True)
    mutants = json.loads(listed)
    for number, mutant in enumerate(mutants):
        mutant['id'] = number + 1
    for old in os.listdir(copy):
        # What was built stays, what was taken out of the project does not.
        if old != 'target':
            path = f'{copy}/{old}'
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    tracked = subprocess.check_output(['git', 'ls-files', '-z'], text=True).split('\0')
    for file in filter(None, tracked):
        if os.path.exists(file):
            os.makedirs(os.path.dirname(f'{copy}/{file}') or copy, exist_ok=True)
            shutil.copy2(file, f'{copy}/{file}')
    dropped = settle(copy, mutants)
    viable = [mutant for mutant in mutants if mutant['id'] not in dropped]
    print(f'{len(mutants)} changes, {len(dropped)} do not compile', flush=True)
    built = subprocess.run(['cargo', 'test', '--locked', '--no-run', '--message-format=json'], cwd=copy, check=True,
                           stdout=subprocess.PIPE, text=True)
    programs = {}
    for line in built.stdout.splitlines():
        artifact = json.loads(line)
        if artifact.get('executable') and artifact.get('profile', {}).get('test'):
            programs[(artifact['target']['name'], artifact['target']['kind'][0])] = artifact['executable']
    unit, api = programs[('sampark', 'lib')], programs[('api', 'test')]
    reached = {}
    for module in asked.modules.split(','):
        reach = f'{work}/reach.{module}'
        if os.path.exists(reach):
            os.remove(reach)
        if ended := run(api, copy, scratch, 0, [f'{module}::'], 900, reach):
            sys.exit(f'{module} fails unchanged: {ended}')
        reached[module] = set(map(int, open(reach).read().split())) if os.path.exists(reach) else set()
    def attempt(mutant):
        began, by = time.time(), run(unit, copy, scratch, mutant['id'], [], 60)
        for module, functions in reached.items():
            if by:
                break
            if mutant['function_id'] in functions:
                by = run(api, copy, scratch, mutant['id'], [f'{module}::'], 240)
        told = {'id': mutant['id'], 'name': mutant['name'], 'by': by, 'seconds': round(time.time() - began, 1)}
        with open(results, 'a') as out:
            out.write(json.dumps(told) + '\n')
        print(f'{"SURVIVED" if by is None else "found"} {mutant["id"]} {mutant["name"]} {by or ""}', flush=True)
        return by is None

    chosen = [mutant for mutant in viable if not asked.only or mutant['id'] in asked.only]
    with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        survived = sum(pool.map(attempt, chosen))
    print(f'{survived} were noticed by no test; see {results}')


if __name__ == '__main__':
    main()
