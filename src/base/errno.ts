/** Linux errno values (include/uapi/asm-generic/errno*.h, include/linux/errno.h) that the modelled paths return. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ESPIPE: 29,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  EOPNOTSUPP: 95,
  ENOTSUPP: 524,
} as const;

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, value]) => [value, name]));

/** `-7` or `7` → `-E2BIG`. */
export function errnoName(value: number): string {
  const magnitude = Math.abs(value);
  return `-${NAMES.get(magnitude) ?? magnitude}`;
}
