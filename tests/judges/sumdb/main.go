// Reads an exported record as Go's checksum database reads its own: note opens the checkpoint, tlog reads and
// authenticates the tiles, and what our side claims is checked by their proofs.
//
// FOLDER may be the http address of a log, too.
//
//	sumdb FOLDER VKEY            every entry, from tiles alone; prints the size
//	sumdb FOLDER VKEY OLD ROOT   also that the tree of OLD entries and this root (base64) is a beginning of it
//	sumdb FOLDER VKEY PROOF      a tlog-proof file: the entry in its extra line is in the tree of its checkpoint
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles reads C2SP tlog-tiles of height 8 from a folder; their paths are Go's without the height.
type tiles struct{ folder string }

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		raw, err := get(t.folder, path(tile))
		if err != nil {
			return nil, err
		}
		read = append(read, raw)
	}
	return read, nil
}

func get(folder, file string) ([]byte, error) {
	if !strings.HasPrefix(folder, "http://") {
		return os.ReadFile(filepath.Join(folder, file))
	}
	answer, err := http.Get(folder + "/" + file)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", file, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func path(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1), "tile/8/", "tile/", 1)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sumdb:", err)
		os.Exit(1)
	}
}

func expect(holds bool, what string, args ...any) {
	if !holds {
		check(fmt.Errorf(what, args...))
	}
}

// head opens a checkpoint by the log's key: the lines after origin, size and root are none.
func head(raw []byte, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	check(err)
	expect(len(opened.Sigs) == 1, "%d signatures by the log's key", len(opened.Sigs))
	lines := strings.Split(opened.Text, "\n")
	expect(len(lines) == 4 && lines[3] == "", "the checkpoint has %d lines", len(lines)-1)
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

func hash(text string) tlog.Hash {
	parsed, err := tlog.ParseHash(text)
	check(err)
	return parsed
}

func entries(folder string, size int64) (all [][]byte) {
	for n := int64(0); n*256 < size; n++ {
		width := 256
		if size-n*256 < 256 {
			width = int(size - n*256)
		}
		raw, err := get(folder, path(tlog.Tile{H: 8, L: -1, N: n, W: width}))
		check(err)
		for ; len(raw) > 0; width-- {
			end := 2 + int(binary.BigEndian.Uint16(raw))
			all = append(all, raw[2:end])
			raw = raw[end:]
		}
		expect(width == 0, "bundle %d lacks %d entries", n, width)
	}
	return all
}

func main() {
	folder, vkey := os.Args[1], os.Args[2]
	raw, err := get(folder, "checkpoint")
	check(err)
	tree := head(raw, vkey)
	// Authenticates each tile it reads against the root.
	reader := tlog.TileHashReader(tree, tiles{folder})
	switch len(os.Args) {
	case 3:
		all := entries(folder, tree.N)
		expect(int64(len(all)) == tree.N, "%d entries in a tree of %d", len(all), tree.N)
		for start := 0; start < len(all); start += 256 {
			end := start + 256
			if end > len(all) {
				end = len(all)
			}
			checkBundle(tree, reader, int64(start), all[start:end])
		}
	case 4:
		checkProof(os.Args[3], vkey)
	case 5:
		old, err := strconv.ParseInt(os.Args[3], 10, 64)
		check(err)
		proof, err := tlog.ProveTree(tree.N, old, reader)
		check(err)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old, hash(os.Args[4])))
	}
	fmt.Println(tree.N)
}

// checkBundle checks these entries, which begin with entry number start: each by its hash in the tiles, since a proof of
// every one would have each tile hashed again for it, and the first and the last by a proof, too.
func checkBundle(tree tlog.Tree, reader tlog.HashReader, start int64, entries [][]byte) {
	var indexes []int64
	for i := range entries {
		indexes = append(indexes, tlog.StoredHashIndex(0, start+int64(i)))
	}
	leaves, err := reader.ReadHashes(indexes)
	check(err)
	for i, entry := range entries {
		expect(leaves[i] == tlog.RecordHash(entry), "entry %d does not match its hash in the tiles", start+int64(i))
	}
	for _, i := range []int{0, len(entries) - 1} {
		proof, err := tlog.ProveRecord(tree.N, start+int64(i), reader)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, start+int64(i), tlog.RecordHash(entries[i])))
	}
}

func checkProof(file, vkey string) {
	raw, err := os.ReadFile(file)
	check(err)
	first, checkpoint, _ := bytes.Cut(raw, []byte("\n\n"))
	tree := head(checkpoint, vkey)
	lines := strings.Split(string(first), "\n")
	expect(lines[0] == "c2sp.org/tlog-proof@v1", "the first line is %q", lines[0])
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	check(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	check(err)
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		proof = append(proof, hash(line))
	}
	check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
}
