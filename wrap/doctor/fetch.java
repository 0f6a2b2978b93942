class Fetch {
    public static void main(String[] args) throws Exception {
        try (var in = java.net.URI.create(args[0]).toURL().openStream()) {
            in.readAllBytes();
        }
    }
}
