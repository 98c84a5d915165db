import type { Btf } from '../btf/index.ts';

// What an annotated BPF program expects of the kernel that loads it: the decl tags of its function, as
// tools/testing/selftests/bpf/{progs/bpf_misc.h,test_loader.c} define them (6.12; the tags that 6.18 adds are known).

/** A line of text that must be found. */
export interface Pattern {
  /** As annotated: verbatim text with `{{…}}` around extended regular expressions. */
  text: string;
  regex: RegExp;
  /** It must match on the line after the one that the pattern before it matched. */
  nextLine: boolean;
  /** It must not be found between its neighbours. */
  absent: boolean;
}

export interface SelftestSpec {
  name: string;
  /** Loaded for other programs' sake, no test itself. */
  auxiliary: boolean;
  /** Has expectations of a privileged load. */
  privileged: boolean;
  failure: boolean;
  messages: Pattern[];
  xlated: Pattern[];
  jited: Pattern[];
  /** What a run returns, a number or `any`; null without. */
  retval: number | 'any' | null;
  logLevel: number;
  flags: number;
  /** An object whose BTF stands for the kernel's in CO-RE relocations; null without. */
  btfPath: string | null;
  /** Architectures that it is restricted to, as `X86_64`; none: all. */
  archs: string[];
}

const PREFIX = 'comment:';
/** `parse_retval()`, test_loader.c; the value of a pointer is nobody's business. */
const RETURN_VALUES: Readonly<Record<string, number | 'any'>> = {
  INT_MIN: -(2 ** 31),
  POINTER_VALUE: 'any',
  TEST_DATA_LEN: 64,
};
const returnValue = (text: string) => RETURN_VALUES[text] ?? Number(text) | 0;
/** include/uapi/linux/bpf.h */
const FLAGS: Readonly<Record<string, number>> = {
  BPF_F_STRICT_ALIGNMENT: 1 << 0,
  BPF_F_ANY_ALIGNMENT: 1 << 1,
  BPF_F_TEST_RND_HI32: 1 << 2,
  BPF_F_TEST_STATE_FREQ: 1 << 3,
  BPF_F_SLEEPABLE: 1 << 4,
  BPF_F_XDP_HAS_FRAGS: 1 << 5,
  BPF_F_TEST_REG_INVARIANTS: 1 << 7,
};
/** `testing_prog_flags()`: what the loader of the selftests always sets. */
const DEFAULT_FLAGS = FLAGS['BPF_F_TEST_RND_HI32']! | FLAGS['BPF_F_TEST_REG_INVARIANTS']!;

/** How what 6.12 logs is worded in 6.18. */
const REWORDED: readonly [RegExp, string][] = [
  // Marks of liveness behind the names of registers and slots are no longer printed.
  [/\b(R\d+|fp-\d+)_[rwD]+=/g, '$1='],
  // The processor's number is found through an address of 64 bits.
  [/^(\d+): w0 = ?$/, '$1: r0 = '],
  // What a helper does to the stack is told apart, as for loads and stores.
  [/indirect access to stack/g, '{{(read from|write to)}} stack'],
  [/indirect read from stack/g, 'read from stack'],
  [/BPF_LD_\[ABS\|IND\] cannot be mixed with socket references/g, 'BPF_LD_[ABS|IND] would lead to reference leak'],
  [
    /rbtree_remove node input must be non-owning ref/g,
    'bpf_rbtree_remove can only take non-owning or refcounted bpf_rb_node pointer',
  ],
  // What is held at an exit is said in one way.
  [/bpf_spin_unlock is missing|\bunlock is missing/g, 'cannot be used inside bpf_spin_lock-ed region'],
  [/\d bpf_preempt_enable(\(s\) are| is) missing/g, 'cannot be used inside bpf_preempt_disable-ed region'],
  [
    /expected an RCU CS when using bpf_iter_(task|css)_next/g,
    '{{(expected an RCU CS when using bpf_iter_$1_next|bpf_iter_$1_new requires RCU critical section protection)}}',
  ],
];

/**
 * `{{…}}` holds an extended POSIX regular expression, the rest is verbatim (`compile_regex`), in 6.18's
 * words.
 */
export function patternRegex(text: string): RegExp {
  const source = REWORDED.reduce((words, [from, to]) => words.replace(from, to), text)
    .split(/\{\{(.*?)\}\}/s)
    .map((part, i) =>
      i % 2 === 1
        ? part.replace(/\[\[:(space|digit|alnum|xdigit):\]\]/g, (_, name: string) => POSIX_CLASSES[name]!)
        : part.replace(/[.[\]\\()*+?{}|^$/]/g, '\\$&'),
    )
    .join('');
  return new RegExp(source, 'm');
}

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  space: '\\s',
  digit: '\\d',
  alnum: '[A-Za-z0-9]',
  xdigit: '[A-Fa-f0-9]',
};

/** What the tags of function `name` say; null if the object's BTF has no such function. */
export function selftestSpec(btf: Btf, name: string): SelftestSpec | null {
  const func = btf.find(name, 'func');
  if (func === undefined) return null;
  const spec: SelftestSpec = {
    name,
    auxiliary: false,
    privileged: false,
    failure: false,
    messages: [],
    xlated: [],
    jited: [],
    retval: null,
    logLevel: 0,
    flags: DEFAULT_FLAGS,
    btfPath: null,
    archs: [],
  };
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== 'decl_tag') continue;
    const tag = btf.type(id);
    if (tag.kind !== 'decl_tag' || tag.type !== func || tag.component !== -1) continue;
    if (tag.name.startsWith(PREFIX)) applyTag(spec, tag.name.slice(PREFIX.length));
  }
  dropElisions(spec.xlated);
  dropElisions(spec.jited);
  return spec;
}

function applyTag(spec: SelftestSpec, tag: string): void {
  const [key, value] = split(tag);
  switch (key) {
    case 'test_expect_failure':
    case 'test_expect_success':
      spec.failure = key === 'test_expect_failure';
      spec.privileged = true;
      return;
    case 'test_auxiliary':
      spec.auxiliary = true;
      return;
    case 'test_expect_msg':
    case 'test_expect_not_msg':
      spec.messages.push(pattern(unnumbered(value), false, key === 'test_expect_not_msg'));
      spec.privileged = true;
      return;
    case 'test_expect_xlated':
      spec.xlated.push(pattern(unnumbered(value), true, false));
      spec.privileged = true;
      return;
    case 'test_jited':
      if (spec.archs.at(-1) !== 'X86_64') return;
      spec.jited.push(pattern(unnumbered(value), true, false));
      spec.privileged = true;
      return;
    case 'test_retval':
      spec.retval = returnValue(value);
      spec.privileged = true;
      return;
    case 'test_log_level':
      spec.logLevel = Number(value);
      return;
    case 'test_prog_flags': {
      const flag = FLAGS[value.replace(/^!/, '')] ?? Number(value.replace(/^!/, ''));
      spec.flags = value.startsWith('!') ? spec.flags & ~flag : spec.flags | flag;
      return;
    }
    case 'test_btf_path':
      spec.btfPath = value;
      return;
    case 'test_arch':
      spec.archs.push(value);
  }
}

function split(tag: string): [key: string, value: string] {
  const at = tag.indexOf('=');
  return at < 0 ? [tag, ''] : [tag.slice(0, at), tag.slice(at + 1)];
}

/** Tags that may repeat carry a number that makes them unique. */
const unnumbered = (value: string) => value.slice(value.indexOf('=') + 1);

const pattern = (text: string, nextLine: boolean, absent: boolean): Pattern => ({
  text,
  regex: patternRegex(text),
  nextLine,
  absent,
});

/** `...` lets lines lie between its neighbours; the first pattern may match anywhere. */
function dropElisions(patterns: Pattern[]): void {
  for (let i = patterns.length - 1; i >= 0; i--) {
    if (patterns[i]!.text !== '...') continue;
    if (i + 1 < patterns.length) patterns[i + 1]!.nextLine = false;
    patterns.splice(i, 1);
  }
}

/** The first pattern that `text` does not hold in order, or null (`validate_msgs`). */
export function firstMissing(text: string, patterns: readonly Pattern[]): Pattern | null {
  let at = 0;
  let lastLine = -1;
  const absent: Pattern[] = [];
  const found = (until: number, from: number) =>
    absent.find(({ regex }) => {
      const match = regex.exec(text.slice(from, until));
      return match !== null;
    });
  for (const pattern of patterns) {
    if (pattern.absent) {
      absent.push(pattern);
      continue;
    }
    const match = pattern.regex.exec(text.slice(at));
    if (match === null) return pattern;
    const start = at + match.index;
    const unwanted = found(start, at);
    if (unwanted !== undefined) return unwanted;
    absent.length = 0;
    const line = text.slice(0, start).split('\n').length;
    if (pattern.nextLine && lastLine >= 0 && line !== lastLine + 1) return pattern;
    lastLine = line;
    at = start + match[0].length;
  }
  return found(text.length, at) ?? null;
}
