// Punctuation and symbols by the browser's own table. Stands in for the package `uc.micro`.

export const P = /\p{P}/u;
export const S = /\p{S}/u;
