import type { Btf } from '../btf/index.ts';
import { SHN_UNDEF, STB, STT } from '../elf/index.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';
import type { ExternBlueprint } from './types.ts';

/** Undefined symbols with a place in `.kconfig` or `.ksyms` (bpf_object__collect_externs). */
export function readExterns({ elf, btf }: Opening): ExternBlueprint[] {
  const sites = new Map<string, { section: string; type: number; kind: 'var' | 'func' }>();
  for (const section of ['.kconfig', '.ksyms']) {
    const id = btf?.find(section, 'datasec');
    const datasec = id === undefined ? undefined : btf!.type(id);
    if (datasec?.kind !== 'datasec') continue;
    for (const entry of datasec.entries) {
      const type = btf!.type(entry.type);
      if (type.kind === 'var' || type.kind === 'func')
        sites.set(type.name, { section, type: type.type, kind: type.kind });
    }
  }
  const kconfig: Extract<ExternBlueprint, { kind: 'kconfig' }>[] = [];
  const ksyms: ExternBlueprint[] = [];
  for (const symbol of elf.symbols) {
    if (
      symbol.section !== SHN_UNDEF ||
      symbol.index === 0 ||
      symbol.name === '' ||
      symbol.bind === STB.LOCAL ||
      symbol.type !== STT.NOTYPE
    )
      continue;
    const site = sites.get(symbol.name);
    if (site === undefined) {
      throw new ObjectError('symbol is undefined, and BTF does not place it in .kconfig or .ksyms', {
        where: symbol.name,
        code: 'OBJECT_EXTERN',
        hint: 'link the object that defines it, or declare it __kconfig or __ksym',
      });
    }
    const common = { name: symbol.name, weak: symbol.bind === STB.WEAK };
    if (site.section === '.kconfig') {
      kconfig.push({
        ...common,
        kind: 'kconfig',
        type: site.type,
        size: btf!.sizeOf(site.type),
        align: btf!.alignOf(site.type),
        offset: 0,
      });
    } else if (site.kind === 'func') ksyms.push({ ...common, kind: 'kfunc', type: site.type });
    else if (isVoid(btf!, site.type)) ksyms.push({ ...common, kind: 'ksym_typeless' });
    else ksyms.push({ ...common, kind: 'ksym_typed', type: site.type });
  }
  kconfig.sort((a, b) => b.align - a.align || a.size - b.size || (a.name < b.name ? -1 : 1));
  ksyms.sort((a, b) => (a.name < b.name ? -1 : 1));
  let end = 0;
  for (const extern of kconfig) {
    extern.offset = Math.ceil(end / Math.max(1, extern.align)) * Math.max(1, extern.align);
    end = extern.offset + extern.size;
  }
  return [...kconfig, ...ksyms];
}

const isVoid = (btf: Btf, id: number) => btf.resolve(id).kind === 'void';
