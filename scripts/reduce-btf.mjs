// Makes the bundled BTF from a kernel's full one:
//   npm run build && node scripts/reduce-btf.mjs vmlinux-6.12.btf.gz data/btf/vmlinux-6.12.btf
// IN is raw BTF or an ELF file with .BTF, gzipped or not; OUT is raw BTF.
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { readBtf, reduceBtf } from '../dist/btf/index.js';

/** Structs that ops tables, their programs and the kernel that we boot look into. */
const STRUCTS = `
  tcp_congestion_ops bpf_struct_ops_tcp_congestion_ops bpf_dummy_ops bpf_dummy_ops_state bpf_struct_ops_bpf_dummy_ops
  bpf_struct_ops_common_value sock sock_common tcp_sock inet_connection_sock inet_sock request_sock inet_request_sock
  tcp_request_sock sk_buff skb_shared_info tcp_skb_cb ack_sample rate_sample tcp_options_received minmax tcp_sack_block
  bpf_prog bpf_prog_aux bpf_array bpf_map bpf_htab htab_elem bucket bpf_tramp_run_ctx bpf_run_ctx
  bpf_tramp_image bpf_spin_lock bpf_timer bpf_list_head bpf_list_node bpf_rb_root bpf_rb_node bpf_refcount bpf_dynptr
  bpf_iter_num bpf_cpumask cpumask list_head hlist_node dst_entry net_device tcp_info tcp_bbr_info tcp_dctcp_info
  tcpvegas_info inet_timewait_sock sockaddr_in in6_addr bictcp dctcp bbr __sk_buff xdp_md bpf_sock bpf_sock_ops
  pt_regs task_struct bpf_skb_data_end xdp_buff xdp_rxq_info
`;
const UNIONS = 'tcp_cc_info bpf_attr';
const ENUMS = `
  tcp_ca_state tcp_ca_event tcp_ca_ack_event_flags tcp_chrono inet_csk_ack_state_t bpf_map_type bpf_prog_type
  bpf_attach_type bpf_func_id sk_pacing sock_type bpf_tramp_prog_type bpf_struct_ops_state sk_rst_reason bpf_reg_type
`;
const TYPEDEFS =
  'u8 u16 u32 u64 s8 s16 s32 s64 __u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 bool size_t ktime_t __be16 __be32 __wsum pid_t uid_t gid_t gfp_t';
/** Functions whose prototypes make hashes and kfunc calls. */
const FUNCTIONS =
  /^(bpf_tcp_ca_|__bpf_tcp_ca|bpf_dummy_|tcp_reno_|tcp_slow_start$|tcp_cong_avoid_ai$|cubictcp_|dctcp_|bbr_|bpf_cast_to_kern_ctx$|bpf_rdonly_cast$|bpf_rcu_read_|bpf_obj_(new|drop)_impl$|bpf_preempt_|bpf_iter_num_|bpf_local_irq|bpf_throw$|bpf_wq_|bpf_dynptr_|__bpf_prog_|__bpf_tramp_)/;

const [input, output] = process.argv.slice(2);
if (output === undefined) {
  console.error('usage: node scripts/reduce-btf.mjs IN OUT');
  process.exit(2);
}
const file = readFileSync(input);
const btf = readBtf(file[0] === 0x1f && file[1] === 0x8b ? gunzipSync(file) : file);
const roots = [];
const missing = [];
const take = (names, ...kinds) => {
  for (const name of names.trim().split(/\s+/)) {
    const id = btf.find(name, ...kinds);
    if (id === undefined) missing.push(name);
    else roots.push(id);
  }
};
take(STRUCTS, 'struct');
take(UNIONS, 'union');
take(ENUMS, 'enum', 'enum64');
take(TYPEDEFS, 'typedef');
for (let id = 1; id < btf.typeCount; id++) if (btf.kind(id) === 'func' && FUNCTIONS.test(btf.name(id))) roots.push(id);
const reduced = reduceBtf(btf, roots);
writeFileSync(output, reduced);
console.log(`${btf.typeCount} types → ${readBtf(reduced).typeCount} types, ${reduced.length} bytes`);
if (missing.length > 0) console.log(`not in this kernel: ${missing.join(' ')}`);
