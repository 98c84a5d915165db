import { errnoName } from '../base/index.ts';
import { emitTrampoline, funcModel, TRAMP_F, type TrampolineImage } from '../jit/index.ts';
import { type GuestPtr, PAGE_SIZE } from '../machine/index.ts';
import type { StructOpsTable } from '../object/index.ts';
import { cfiOffset } from '../target/index.ts';
import { KernelError } from './error.ts';
import type { Kernel } from './kernel.ts';
import type { LoadedProgram } from './load.ts';
import type { StructOpsDef } from './types.ts';

/** MAX_TRAMP_IMAGE_PAGES. */
const MAX_IMAGE_PAGES = 8;
/** BPF_MODULE_OWNER: a struct_ops table is owned by BPF itself. */
const MODULE_OWNER = { lo: 0x0eb9f, hi: 0 };

export type StructOpsState = 'INIT' | 'INUSE' | 'TOBEFREE' | 'READY';

/** A member that a program implements. */
export interface StructOpsMember {
  member: string;
  program: LoadedProgram;
  /** The stub whose hash it carries, and that hash. */
  stub: string;
  hash: number;
  /** What callers of the member check, computed from its prototype in BTF; where it is not `hash`, they trap. */
  typeId: number | undefined;
  trampoline: TrampolineImage;
  /** What stands in the table: image + cfi offset. */
  address: GuestPtr;
}

/**
 * A map of type BPF_MAP_TYPE_STRUCT_OPS: one ops table that BPF implements. Mirrors kernel/bpf/bpf_struct_ops.c (6.12).
 */
export class StructOpsMap {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly def: StructOpsDef;
  /** With BPF_F_LINK the owner is told by a link, not by the update. */
  readonly link: boolean;
  /** The table that the owner holds. */
  readonly kdata: GuestPtr;
  state: StructOpsState = 'INIT';
  /** Whoever holds the map: its user until `free`, its registration, a link, and each object of the owner's that uses the table. */
  refcount = 1;
  members: StructOpsMember[] = [];
  readonly #kernel: Kernel;
  readonly #size: number;
  #userValue: Uint8Array;
  #pages: GuestPtr[] = [];
  #symbols: string[] = [];

  /** @throws KernelError -ENOTSUPP for an ops type that nobody owns */
  constructor(kernel: Kernel, table: StructOpsTable) {
    const def = kernel.structOps.get(table.type);
    if (def === undefined)
      throw new KernelError(
        `struct_ops ${table.type} is not supported in this kernel (no owner registered)`,
        'ENOTSUPP',
        table.name,
      );
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.name = table.name;
    this.type = table.type;
    this.def = def;
    this.link = table.link;
    this.#size = kernel.btf.struct(table.type).size;
    // struct bpf_struct_ops_<type> { common; data } : the owner sees `data`.
    this.kdata = kernel.vmalloc.alloc(this.#size + 64, 64) + 64;
    this.#userValue = new Uint8Array(this.#size);
    kernel.structOpsMaps.push(this);
    kernel.tableCalls.set(this.kdata, new Map());
  }

  /**
   * Fills the table from the user's value and registers it, unless a link will: bpf_struct_ops_map_update_elem.
   * @throws KernelError with the errno; the map is as before then
   */
  update(table: StructOpsTable, programs: ReadonlyMap<string, LoadedProgram>): void {
    if (this.state !== 'INIT') throw this.#error('the map has been updated already', 'EBUSY');
    this.#checkZeroHoles(table.data);
    this.#userValue = table.data.slice();
    try {
      this.#fill(table, programs);
      const err = this.def.validate?.(this.#kernel, this.kdata) ?? 0;
      if (err !== 0) throw this.#error('validate', errnoName(err).slice(1));
      for (const page of this.#pages) this.#kernel.memory.protect(page, PAGE_SIZE, 'rx');
      if (this.link) {
        this.state = 'READY';
        return;
      }
      const registered = this.def.reg(this.#kernel, this.kdata);
      if (registered !== 0) throw this.#error('reg', errnoName(registered).slice(1));
    } catch (error) {
      this.#reset();
      throw error;
    }
    this.refcount++;
    this.state = 'INUSE';
  }

  #fill(table: StructOpsTable, programs: ReadonlyMap<string, LoadedProgram>): void {
    const { btf, memory } = this.#kernel;
    const struct = btf.struct(this.type);
    const named = new Map(table.programs.map(({ member, program }) => [member, program]));
    const pages = { at: 0, offset: 0 };
    for (const member of struct.members) {
      const offset = member.bitOffset / 8;
      const size = btf.sizeOf(member.type);
      const value = this.#userValue.subarray(offset, offset + size);
      const pointer = btf.resolve(member.type);
      const target = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : undefined;
      if (
        target?.kind !== 'func_proto' &&
        (target?.kind === 'struct' || target?.kind === 'fwd') &&
        target.name === 'module'
      ) {
        if (!isZero(value)) throw this.#error(`member ${member.name} must be zero`, 'EINVAL');
        memory.setU32(this.kdata + offset, MODULE_OWNER.lo);
        continue;
      }
      const program = named.get(member.name);
      if (program === undefined || target?.kind !== 'func_proto') {
        const handled = this.def.initMember?.(this.#kernel, member.name, value, this.kdata + offset) ?? 0;
        if (handled < 0) throw this.#error(`init_member(${member.name})`, errnoName(handled).slice(1));
        if (handled === 0 && !isZero(value))
          throw this.#error(
            `member ${member.name} must be zero: it is no function and the owner does not take it`,
            'EINVAL',
          );
        continue;
      }
      this.members.push(this.#implement(member.name, offset, target.id, programs.get(program), program, pages));
    }
  }

  /** One member: its trampoline, placed, and the pointer in the table. */
  #implement(
    member: string,
    offset: number,
    proto: number,
    program: LoadedProgram | undefined,
    programName: string,
    pages: { at: GuestPtr; offset: number },
  ): StructOpsMember {
    const kernel = this.#kernel;
    if (program === undefined) throw this.#error(`program '${programName}' of member ${member} is not loaded`, 'EBADF');
    const wanted = program.resolved.structOps;
    if (wanted?.type !== this.type || wanted.member !== member)
      throw this.#error(
        `program '${programName}' implements ${wanted?.type}.${wanted?.member}, not ${this.type}.${member}`,
        'EINVAL',
      );
    const stub = this.def.stubs[member];
    if (stub === undefined)
      throw this.#error(`member ${member} cannot be implemented by BPF: it has no stub`, 'ENOTSUPP');
    const refused = this.def.checkMember?.(member, { name: program.name, sleepable: program.resolved.sleepable }) ?? 0;
    if (refused !== 0)
      throw this.#error(`check_member(${member}) refuses program '${program.name}'`, errnoName(refused).slice(1));
    const { trampoline } = buildTrampoline(kernel, program, proto, kernel.symbol(stub), (size) =>
      this.#room(size, pages),
    );
    const symbol = `bpf__${this.type}_${member}`;
    kernel.symbols.add(symbol, trampoline.address, trampoline.allocated);
    this.#symbols.push(symbol);
    const address = trampoline.address + cfiOffset(kernel.target.features);
    kernel.memory.setPtr(this.kdata + offset, address);
    new DataView(this.#userValue.buffer).setUint32(offset, program.id, true);
    const hash = kernel.cfiFuncHash(kernel.symbol(stub));
    return { member, program, stub, hash, typeId: kernel.typeId(proto), trampoline, address };
  }

  /** Trampolines are packed into pages; a new page is taken when the last is full, up to MAX_TRAMP_IMAGE_PAGES. */
  #room(size: number, pages: { at: GuestPtr; offset: number }): GuestPtr {
    if (pages.at === 0 || size > PAGE_SIZE - pages.offset) {
      if (this.#pages.length >= MAX_IMAGE_PAGES)
        throw this.#error(`trampolines need more than ${MAX_IMAGE_PAGES} pages`, 'E2BIG');
      pages.at = this.#kernel.images.alloc(PAGE_SIZE, PAGE_SIZE);
      pages.offset = 0;
      this.#pages.push(pages.at);
    }
    const address = pages.at + pages.offset;
    pages.offset += size;
    return address;
  }

  /** Tells the owner that the table goes, and frees what it holds: bpf_struct_ops_map_delete_elem. */
  delete(): void {
    if (this.link) throw this.#error('the table is registered by a link', 'EOPNOTSUPP');
    if (this.state !== 'INUSE')
      throw this.#error(`the table is in state ${this.state}`, this.state === 'TOBEFREE' ? 'EINPROGRESS' : 'ENOENT');
    this.def.unreg(this.#kernel, this.kdata);
    this.state = 'TOBEFREE';
    this.put();
  }

  /** The user lets go of the map. */
  free(): void {
    this.put();
  }

  /** One more holder; false if the map is going away (bpf_struct_ops_get). */
  get(): boolean {
    if (this.refcount === 0) return false;
    this.refcount++;
    return true;
  }

  /** One holder less; the last one frees the trampolines, once nobody runs in them (bpf_struct_ops_put). */
  put(): void {
    this.refcount--;
    if (this.refcount === 0) this.#kernel.callRcu(() => this.#release());
  }

  #release(): void {
    this.#reset();
    this.#kernel.tableCalls.delete(this.kdata);
    this.#kernel.vmalloc.free(this.kdata - 64);
    const at = this.#kernel.structOpsMaps.indexOf(this);
    if (at >= 0) this.#kernel.structOpsMaps.splice(at, 1);
  }

  /** The user's view: the value that was set, with program ids in the slots of programs (bpf_struct_ops_map_sys_lookup_elem). */
  lookup(): { state: StructOpsState; data: Uint8Array } {
    return { state: this.state, data: this.state === 'INIT' ? new Uint8Array(this.#size) : this.#userValue.slice() };
  }

  #reset(): void {
    for (const symbol of this.#symbols) this.#kernel.symbols.remove(symbol);
    for (const page of this.#pages) this.#kernel.images.free(page);
    this.#symbols = [];
    this.#pages = [];
    this.members = [];
    this.#userValue = new Uint8Array(this.#size);
    this.#kernel.memory.bytes(this.kdata, this.#size).fill(0);
  }

  /** Bytes between members must be zero (check_zero_holes). */
  #checkZeroHoles(data: Uint8Array): void {
    const struct = this.#kernel.btf.struct(this.type);
    let end = 0;
    for (const member of struct.members) {
      const offset = member.bitOffset / 8;
      if (offset > end && !isZero(data.subarray(end, offset)))
        throw this.#error(`bytes before member ${member.name} are not zero`, 'EINVAL');
      end = offset + this.#kernel.btf.sizeOf(member.type);
    }
    if (!isZero(data.subarray(end))) throw this.#error('bytes after the last member are not zero', 'EINVAL');
  }

  #error(why: string, errno: string): KernelError {
    return new KernelError(`${why}: -${errno}`, errno, `struct_ops '${this.name}' (${this.type})`);
  }
}

const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);

/**
 * An indirect trampoline for a program, with the hash that stands in front of `stub` in memory:
 * bpf_struct_ops_prepare_trampoline. `place` gives an address for the size that the kernel accounts for.
 */
export function buildTrampoline(
  kernel: Kernel,
  program: LoadedProgram,
  proto: number,
  stub: GuestPtr,
  place: (size: number) => GuestPtr,
): { trampoline: TrampolineImage; hash: number } {
  const { memory } = kernel;
  const model = funcModel(kernel.btf, proto);
  const suffix = program.resolved.sleepable ? '_sleepable' : '';
  const hash = kernel.cfiFuncHash(stub);
  const trampoline = emitTrampoline(
    {
      model,
      flags: TRAMP_F.INDIRECT | (model.returnSize > 0 ? TRAMP_F.RET_FENTRY_RET : 0),
      fentry: [
        {
          cookie: { lo: 0, hi: 0 },
          prog: { lo: program.pointer | 0, hi: memory.high(program.pointer) },
          bpfFunc: program.bpfFunc,
          enter: kernel.symbol(`__bpf_prog_enter${suffix}`),
          exit: kernel.symbol(`__bpf_prog_exit${suffix}`),
        },
      ],
      fexit: [],
      fmodRet: [],
      hash,
      arity: kernel.cfiFuncArity(stub),
      func: { lo: stub | 0, hi: -1 },
      funcHasEndbr: kernel.target.features.ibt,
      image: { lo: 0, hi: 0 },
    },
    kernel.jit,
    place,
  );
  memory.poke(trampoline.address, trampoline.bytes);
  return { trampoline, hash };
}

/** A link that keeps a table registered (BPF_LINK_TYPE_STRUCT_OPS). */
export class StructOpsLink {
  readonly id: number;
  readonly #kernel: Kernel;
  #map: StructOpsMap | undefined;

  /** Registers the map's table. @throws KernelError -EINVAL unless the map is a link map and ready */
  constructor(kernel: Kernel, map: StructOpsMap) {
    if (!map.link || map.state !== 'READY')
      throw new KernelError(`struct_ops '${map.name}' is not a table with a link, or not ready: -EINVAL`, 'EINVAL');
    const err = map.def.reg(kernel, map.kdata);
    if (err !== 0)
      throw new KernelError(
        `reg: ${errnoName(err)}`,
        errnoName(err).slice(1),
        `struct_ops '${map.name}' (${map.type})`,
      );
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#map = map;
    map.refcount++;
  }

  get map(): StructOpsMap | undefined {
    return this.#map;
  }

  /** Replaces the table while the owner uses it (bpf_struct_ops_map_link_update). */
  update(next: StructOpsMap): void {
    const current = this.#map;
    const refuse = (why: string, errno: string) =>
      new KernelError(`${why}: -${errno}`, errno, `struct_ops '${next.name}' (${next.type})`);
    if (current === undefined) throw refuse('the link is detached', 'ENOLINK');
    if (!next.link || next.state !== 'READY' || next.type !== current.type)
      throw refuse('the new table is not ready, or of another type', 'EINVAL');
    if (next.def.update === undefined) throw refuse('the owner does not take updates', 'EOPNOTSUPP');
    const err = next.def.update(this.#kernel, next.kdata, current.kdata);
    if (err !== 0) throw refuse('update', errnoName(err).slice(1));
    next.refcount++;
    this.#map = next;
    current.put();
  }

  detach(): void {
    const map = this.#map;
    if (map === undefined) return;
    map.def.unreg(this.#kernel, map.kdata);
    this.#map = undefined;
    map.put();
  }
}
