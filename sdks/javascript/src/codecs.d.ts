// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/**
 * Values as bytes, the same in all languages, so that a state that one language wrote is read by another.
 *
 * The codecs of ordered types keep the order of the values in the order of the bytes; they can encode keys.
 *
 * @packageDocumentation
 */

/** Encodes values. An object with these is a codec of your own. */
export interface Codec<T> {
  /** The name, for messages. */
  readonly name?: string;

  /** The length of each encoding, or null if lengths differ. */
  readonly size?: number | null;

  /** Whether the order of the bytes is that of the values. */
  readonly ordered?: boolean;

  /** Returns the bytes of a value. */
  encode(value: T): Uint8Array;

  /** Returns the value of bytes. */
  decode(data: Uint8Array): T;
}

/** One byte: 0 or 1. */
export declare const bool: Codec<boolean>;

/** Big-endian, with the sign bit flipped. */
export declare const int8: Codec<number>;
export declare const int16: Codec<number>;
export declare const int32: Codec<number>;

/** The same of 8 bytes, as Go's int and int64 and Rust's i64. What is no safe integer is decoded as a bigint. */
export declare const int64: Codec<number | bigint>;

/** The same bytes, always decoded as a bigint. */
export declare const bigint: Codec<bigint>;

/** Big-endian. */
export declare const uint8: Codec<number>;
export declare const uint16: Codec<number>;
export declare const uint32: Codec<number>;

/** The same of 8 bytes. What is no safe integer is decoded as a bigint. */
export declare const uint64: Codec<number | bigint>;

/** The bits, all inverted if negative, else with the sign bit flipped. */
export declare const float32: Codec<number>;
export declare const float64: Codec<number>;

/** Text as UTF-8. */
export declare const string: Codec<string>;

/** Bytes as they are. */
export declare const bytes: Codec<Uint8Array>;

/** JSON, without spaces between its parts. It has no order. */
export declare const json: Codec<any>;

/** The codecs that are known by name, with what they decode to. */
export interface Named {
  bool: boolean;
  int8: number;
  int16: number;
  int32: number;
  int64: number;
  uint8: number;
  uint16: number;
  uint32: number;
  uint64: number;
  bigint: bigint;
  float32: number;
  float64: number;
  string: string;
  bytes: Uint8Array;
  json: any;
}

/** The type of what a state keeps: the name of a codec, or a codec. */
export type Type<T = any> = keyof Named | Codec<T>;

/** The values of a type. */
export type Of<C> = C extends keyof Named ? Named[C] : C extends Codec<infer T> ? T : never;

/** Returns the codec of a name, or a codec as it is. */
export declare function codecOf(type: Type): Codec<any>;
