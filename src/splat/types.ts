import { type Btf, formatDecl, kcfiHash } from '../btf/index.ts';
import { CFI_HASHES } from '../target/index.ts';

const KNOWN: readonly [number, string][] = [
  [CFI_HASHES.program, 'a BPF program: unsigned int (const void *, const struct bpf_insn *)'],
  [CFI_HASHES.subprogram, 'a BPF function or callback: u64 (u64, u64, u64, u64, u64)'],
  [CFI_HASHES.dummyTest, 'a test run of bpf_dummy_ops: int (struct bpf_dummy_ops_state *, ...)'],
];
const MOST = 4;

/**
 * Who in the kernel has a type id: members of structs and functions of the BTF, at most a few for each id.
 * Computed once for a BTF; a prototype that has no type id is left out.
 */
export function prototypesByHash(btf: Btf): ReadonlyMap<number, string[]> {
  const found = new Map<number, string[]>(KNOWN.map(([hash, what]) => [hash, [what]]));
  const hashes = new Map<number, number | undefined>();
  const hashOf = (proto: number): number | undefined => {
    if (!hashes.has(proto)) {
      try {
        hashes.set(proto, kcfiHash(btf, proto));
      } catch {
        hashes.set(proto, undefined);
      }
    }
    return hashes.get(proto);
  };
  const add = (proto: number, text: () => string) => {
    const hash = hashOf(proto);
    if (hash === undefined) return;
    const list = found.get(hash) ?? [];
    if (list.length < MOST) found.set(hash, [...list, text()]);
  };
  // Members of tables first: what is called indirectly is most often one of those.
  for (let id = 1; id < btf.typeCount; id++) {
    const struct = btf.kind(id) === 'struct' ? btf.type(id) : undefined;
    if (struct?.kind !== 'struct') continue;
    for (const member of struct.members) {
      const pointer = btf.resolve(member.type);
      const proto = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : undefined;
      if (proto?.kind === 'func_proto')
        add(proto.id, () => `${struct.name}.${member.name}: ${formatDecl(btf, member.type, member.name)}`);
    }
  }
  for (let id = 1; id < btf.typeCount; id++) {
    const func = btf.kind(id) === 'func' ? btf.type(id) : undefined;
    if (func?.kind === 'func') add(func.type, () => formatDecl(btf, func.type, func.name));
  }
  return found;
}
