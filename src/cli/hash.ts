import { hex32 } from '../base/index.ts';
import { kcfiTypeId, mangle, mangleNormalized, parsePrototype } from '../btf/index.ts';
import { seedHash } from '../target/index.ts';
import { CliError } from './error.ts';
import { COMMON, number, parse } from './options.ts';
import { bold, dim, json, out, table } from './print.ts';
import { chooseKernel } from './session.ts';

export const HASH_USAGE = `usage: trampet hash 'PROTOTYPE' [--btf FILE] [--hash-seed N] [--json]

The kCFI type id of a C function type: the name that clang hashes, and the hash. Typedefs are looked up in BTF.
  e.g. trampet hash 'u32 ssthresh(struct sock *sk)'`;

/** `trampet hash`. */
export function hash(args: string[]): number {
  const { values, positionals } = parse(args, COMMON);
  if (values.help) {
    out(HASH_USAGE);
    return 0;
  }
  const text = positionals.join(' ');
  if (text === '') throw new CliError('hash takes a prototype', 'usage', HASH_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const { type } = parsePrototype(text, { btf: choice.btf });
  const mangled = mangle(type);
  const normalized = mangleNormalized(type);
  const seed = number('hash-seed', values['hash-seed']);
  const seeded = seed === 0 ? undefined : hex32(seedHash(kcfiTypeId(mangled), seed, choice.era));
  if (values.json) {
    json({
      schema: 1,
      prototype: text,
      mangled,
      hash: hex32(kcfiTypeId(mangled)),
      mangledNormalized: normalized,
      hashNormalized: hex32(kcfiTypeId(normalized)),
      ...(seeded === undefined ? {} : { seeded }),
    });
    return 0;
  }
  const rows = [
    [dim('type id'), bold(hex32(kcfiTypeId(mangled))), mangled],
    [dim('integers normalised'), hex32(kcfiTypeId(normalized)), normalized],
  ];
  if (seeded !== undefined) rows.push([dim(`with seed ${hex32(seed)}`), seeded, '']);
  for (const line of table(rows)) out(line);
  return 0;
}
