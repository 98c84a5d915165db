import type { Btf } from '../btf/index.ts';
import { ObjectError } from './error.ts';
import type { ExternBlueprint, MapBlueprint, ObjectFile, ResolveTarget } from './types.ts';

type Kconfig = Extract<ExternBlueprint, { kind: 'kconfig' }>;

/** The `.kconfig` map with the target's values (bpf_object__resolve_externs, set_kcfg_value_*). */
export function fillKconfig(file: ObjectFile, map: MapBlueprint, target: ResolveTarget): MapBlueprint {
  const initial = map.initial!.slice();
  const view = new DataView(initial.buffer);
  for (const extern of file.externs) {
    if (extern.kind !== 'kconfig') continue;
    const value = configValue(file.btf!, extern, target);
    if (value === undefined) {
      if (extern.weak || !extern.name.startsWith('CONFIG_')) continue;
      throw new ObjectError(`extern (strong) '${extern.name}': the target's configuration is not known`, {
        where: '.kconfig',
        kind: 'unsupported',
        code: 'OBJECT_KCONFIG',
        hint: 'make it __weak',
      });
    }
    if (value instanceof Uint8Array) initial.set(value.subarray(0, extern.size - 1), extern.offset);
    else
      for (let i = 0; i < extern.size; i++) view.setUint8(extern.offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }
  return { ...map, initial };
}

/** KERNEL_VERSION(a, b, c); the sublevel saturates at 255. */
function versionCode(release: string): bigint {
  const [major = 0, minor = 0, patch = 0] = release.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return BigInt((major << 16) | (minor << 8) | Math.min(patch, 255));
}

function configValue(btf: Btf, extern: Kconfig, target: ResolveTarget): bigint | Uint8Array | undefined {
  if (extern.name === 'LINUX_KERNEL_VERSION')
    return target.release === undefined ? undefined : versionCode(target.release);
  if (extern.name === 'LINUX_HAS_BPF_COOKIE' || extern.name === 'LINUX_HAS_SYSCALL_WRAPPER') return 1n;
  const text = target.kconfig?.get(extern.name);
  if (text === undefined) return undefined;
  const type = btf.resolve(extern.type);
  if (text === 'y' || text === 'n' || text === 'm') {
    if (type.kind === 'int' && type.bool) {
      if (text !== 'm') return text === 'y' ? 1n : 0n;
    } else if (type.kind === 'int' && type.size === 1) return BigInt(text.charCodeAt(0));
    else if (type.kind === 'enum') return text === 'n' ? 0n : text === 'y' ? 1n : 2n;
    throw new ObjectError(`extern '${extern.name}' has value '${text}', which does not fit its type`, {
      where: '.kconfig',
      code: 'OBJECT_KCONFIG',
    });
  }
  if (text.startsWith('"')) return new TextEncoder().encode(text.slice(1, -1));
  if (!/^-?(0x[0-9a-fA-F]+|\d+)$/.test(text))
    throw new ObjectError(`extern '${extern.name}' has value '${text}', which is no number`, {
      where: '.kconfig',
      code: 'OBJECT_KCONFIG',
    });
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
}
